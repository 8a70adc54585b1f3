/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What    How an elementwise kernel goes through its rows, and where it puts them: straight to the
 *         output, or past the cache. Streaming stores pay for whole lines only, and rows begin and end
 *         within lines (NumPy's large arrays start 16 bytes into one).
 * Method  Long rows, a band at a time: the columns that fill lines are stored past the cache as they
 *         are. The edges before and after go to room for a line each; the end of a row and the
 *         beginning of the next make a line where they follow each other.
 *         Short rows, and those that must be gone through in whole vectors from their first value on: a
 *         buffer in first-level cache cuts a stream of bytes into lines, whatever its length and
 *         alignment. A block is filled, then sent off, and reading waits meanwhile.
 * Needs   vectors.h.
 */
#define FN_LINE 64
#define FN_OUT_BYTES 8192   /* of the buffer */
#define FN_OUT_PART 4096    /* of a row in it */
#define FN_OUT_LONG 1024    /* bytes of a row whose edges are a small part of it */
#define FN_OUT_SHORT 512    /* of a row up to which a panel's beginning is more than a row of it */
#define FN_OUT_AGAIN 8192   /* of a row up to which what rows share is read again for each */
#define FN_OUT_COLUMNS 2048 /* the same of columns in whole lines: bands need no buffer */
#define FN_OUT_LEAD 8       /* vectors of a row that is worth one more */
#define FN_AGREE 192        /* bytes that are as good as the same place */

/* Where the values of a block go: to memory; past the cache, in whole lines; to room for whole vectors. */
enum { FN_TO_MEMORY, FN_TO_LINES, FN_TO_ROOM };

/* Which columns of a band of long rows a block holds. */
enum { FN_BEGIN, FN_LINES, FN_END, FN_BAND_DONE };

/* The line that comes next, bytes of it that wait, and how many of these are not ours. */
typedef struct {
    char *line;
    size_t left, foreign;
} fn_stream;

/* Room for an edge of a row: a line, and what a whole vector writes beyond it. */
typedef struct {
    _Alignas(FN_LINE) char line[2 * FN_LINE];
} fn_edge;

typedef struct {
    /* the block at hand: rows [row, row + rows), columns [j0, j1), and where its values go */
    size_t row, rows, j0, j1;
    char *y;
    ptrdiff_t ldy;
    int where;
    int apart; /* the values go to other memory than they come from */
    /* the call */
    char *base;
    ptrdiff_t base_ld;
    size_t all_rows, n, item, most;
    size_t band; /* rows to go through together */
    int stream;
    int dense; /* rows follow each other */
    /* long rows, in bands */
    int banded, stage;
    size_t first, last;                           /* columns [first, last) fill lines */
    fn_edge begin[FN_BAND], end[FN_BAND], before; /* before: the end of the row before the band */
    /* all others, by way of the buffer */
    size_t pending; /* bytes of the block at hand */
    fn_stream lines;
    _Alignas(FN_LINE) char buffer[FN_LINE + FN_OUT_BYTES + FN_LINE];
} fn_out;

/* What rows begin with: their first value; any column, if all of a band may begin with it; any. */
enum { FN_FROM_FIRST, FN_FROM_COMMON, FN_FROM_ANY };

/* Whether rows of so many bytes that share vectors are joined to lines, one by one. whole: up to which size
 * those of whole lines are. */
FN_INLINE int
fn_out_again(size_t bytes, size_t whole)
{
    return bytes <= (bytes % FN_LINE ? FN_OUT_AGAIN : whole);
}

/* Columns of a row before its first vector that begins with a line, or lies within one: stores across two lines take
 * twice as long. They are made with the first whole vector, so rows must be worth one more, and go to other memory
 * than they come from. 0: there are none, or not so many of the row. */
FN_INLINE size_t
fn_lead(const void *y, size_t n, size_t lanes, size_t item, int apart)
{
    const size_t vector = lanes * item, whole = vector < FN_LINE ? vector : FN_LINE;
    if (!apart || n < FN_OUT_LEAD * lanes) {
        return 0;
    }
    const size_t over = (uintptr_t)y % whole;
    return over && over % item == 0 ? (whole - over) / item : 0;
}

/* ldx: of what is read; most: bytes of short rows to wait for before they are sent off. */
FN_INLINE void
fn_out_start(fn_out *o, int stream, int from, size_t most, void *y, ptrdiff_t ldy, ptrdiff_t ldx,
             size_t rows, size_t n, size_t item, int in_place)
{
    /* A load waits for a store just before it whose address agrees with its own modulo 4096. Large arrays
     * begin at the same place of a page: a row of y and the next of x agree where rows are that long. Asked
     * of the shape, not of addresses, so that a call executes the same instructions every time. */
    const int agree = ((uintptr_t)ldx + FN_AGREE) % 4096 < 2 * FN_AGREE;
    const int apart = rows > 1 && ldy % FN_LINE; /* each row begins its lines with another column */
    o->base = y;
    o->base_ld = ldy;
    o->all_rows = rows;
    o->most = most;
    o->n = n;
    o->item = item;
    o->apart = !in_place;
    o->where = FN_TO_MEMORY;
    o->dense = rows == 1 || ldy == (ptrdiff_t)(n * item);
    o->stream = stream && (o->dense || n * item >= FN_OUT_LONG);
    o->banded = o->stream && n * item >= FN_OUT_LONG &&
                from >= (apart ? FN_FROM_ANY : FN_FROM_COMMON) && !((uintptr_t)y % item) &&
                !(ldy % (ptrdiff_t)item); /* lines are whole values */
    o->band = FN_BAND;
    if (o->banded) {
        o->band = apart ? 1 : agree ? FN_BAND / 2 : FN_BAND;
    }
    else if (agree && !o->stream && from == FN_FROM_ANY && n * item > FN_OUT_LONG / 4) {
        o->band = 1; /* rows share no vector: one by one */
    }
    else if (agree && !o->stream && n * item >= FN_OUT_LONG) {
        o->band = FN_BAND / 4;
    }
    else if (n * item <= FN_OUT_SHORT) {
        o->band = 4 * FN_BAND;
    }
    o->row = o->rows = o->j0 = o->pending = 0;
    o->stage = FN_BAND_DONE;
    o->j1 = n;
}

/* The same of all rows of a band, the first of which goes to y. */
FN_INLINE size_t
fn_out_lead(const fn_out *o, const void *y, size_t lanes)
{
    const int same = o->band == 1 || o->ldy % FN_LINE == 0;
    return fn_lead(y, o->n, lanes, o->item, o->apart && o->where == FN_TO_MEMORY && same);
}

/* Go on to the next part of a band that has columns; 0 where there is none. */
FN_INLINE int
fn_out_part(fn_out *o)
{
    const uintptr_t y = (uintptr_t)(o->base + (ptrdiff_t)o->row * o->base_ld);
    switch (++o->stage) {
    case FN_BEGIN:
        o->first = (FN_LINE - y % FN_LINE) % FN_LINE / o->item;
        o->last = o->n - (y + o->n * o->item) % FN_LINE / o->item;
        o->j0 = 0;
        o->j1 = o->first;
        o->y = o->begin[0].line + FN_LINE - o->first * o->item;
        o->ldy = sizeof(fn_edge);
        o->where = FN_TO_ROOM;
        if (o->first) {
            return 1;
        }
        o->stage++; /* fall through */
    case FN_LINES:
        o->j0 = o->first;
        o->j1 = o->last;
        o->y = (char *)y + o->first * o->item;
        o->ldy = o->base_ld;
        o->where = FN_TO_LINES;
        return 1;
    case FN_END:
        o->j0 = o->last;
        o->j1 = o->n;
        o->y = o->end[0].line;
        o->ldy = sizeof(fn_edge);
        o->where = FN_TO_ROOM;
        return o->last < o->n;
    default:
        return 0;
    }
}

/* The edges of a band go out. */
FN_INLINE void
fn_out_edges(fn_out *o)
{
    const size_t begin = o->first * o->item, end = (o->n - o->last) * o->item;
    char *y = o->base + (ptrdiff_t)o->row * o->base_ld;
    for (size_t i = 0; i < o->rows; i++, y += o->base_ld) {
        if (begin && o->dense && o->row + i) { /* a line with the end of the row before */
            memcpy(o->begin[i].line, (i ? &o->end[i - 1] : &o->before)->line, FN_LINE - begin);
            fn_stream_line(y + begin - FN_LINE, o->begin[i].line);
        }
        else {
            memcpy(y, o->begin[i].line + FN_LINE - begin, begin);
        }
        if (!o->dense || o->row + i + 1 == o->all_rows) {
            memcpy(y + o->last * o->item, o->end[i].line, end);
        }
    }
    memcpy(o->before.line, o->end[o->rows - 1].line, FN_LINE);
}

/* Send off what is in the buffer, but for what does not fill a line; it waits just before the next block.
 * Blocks are stored at the beginning of a line and fetched from within: the other way would be slower. */
FN_INLINE void
fn_out_push(fn_out *o)
{
    fn_stream *s = &o->lines;
    const size_t all = s->left + o->pending, whole = all / FN_LINE * FN_LINE;
    char *from = o->y - s->left;
    size_t at = 0;
    if (s->foreign && whole) {
        memcpy(s->line + s->foreign, from + s->foreign, FN_LINE - s->foreign);
        s->foreign = 0;
        at = FN_LINE;
    }
    for (; at < whole; at += FN_LINE) {
        fn_stream_line(s->line + at, from + at);
    }
    s->line += whole;
    s->left = all - whole;
    if (o->j1 == o->n && (!o->dense || o->row + o->rows == o->all_rows)) {
        memcpy(s->line + s->foreign, from + whole + s->foreign, s->left - s->foreign);
    }
    memmove(o->y - s->left, from + whole, s->left);
}

/* Go on to the next block; 0 when there is none. */
FN_INLINE int
fn_out_next(fn_out *o)
{
    const size_t done = o->row + o->rows, width = o->n * o->item;
    char *y = o->base + (ptrdiff_t)done * o->base_ld;
    size_t most = o->all_rows;
    if (o->banded) {
        if (o->stage < FN_BAND_DONE && fn_out_part(o)) {
            return 1;
        }
        if (done) {
            fn_out_edges(o);
        }
        most = o->band;
    }
    else if (o->stream) {
        if (o->pending) {
            fn_out_push(o);
        }
        if (o->pending && o->j1 < o->n) { /* the row goes on */
            o->j0 = o->j1;
            o->j1 = (o->n - o->j0) * o->item > FN_OUT_PART ? o->j0 + FN_OUT_PART / o->item : o->n;
            o->pending = (o->j1 - o->j0) * o->item;
            return 1;
        }
        most = o->dense && width <= o->most ? o->most / width : 1;
    }
    if (done == o->all_rows) {
        return 0;
    }
    o->row = done;
    o->rows = o->all_rows - done < most ? o->all_rows - done : most;
    o->y = y;
    o->ldy = o->base_ld;
    if (o->banded) {
        o->stage = FN_BEGIN - 1;
        return fn_out_part(o);
    }
    if (o->stream) {
        if (!o->dense || done == 0) {
            o->lines.left = o->lines.foreign = (uintptr_t)y % FN_LINE;
            o->lines.line = y - o->lines.left;
        }
        o->y = o->buffer + FN_LINE;
        o->ldy = (ptrdiff_t)width;
        o->j0 = 0;
        o->j1 = o->rows == 1 && width > FN_OUT_PART ? FN_OUT_PART / o->item : o->n;
        o->pending = o->rows * (o->j1 - o->j0) * o->item;
    }
    return 1;
}

/* Bytes to what is read after the band at `row`: as the driver says (said), unless it is foreseen; or the next
 * band, if there is one, or what comes next in a row that is long. */
FN_INLINE ptrdiff_t
fn_out_ahead(const fn_out *o, size_t row, ptrdiff_t ld, ptrdiff_t said, ptrdiff_t next_band)
{
    if (said) {
        return o->where == FN_TO_LINES && FN_FORESEEN(ld, o->n * o->item) ? 0 : said;
    }
    if (o->stream && (o->n * o->item > FN_OUT_PART || !next_band)) {
        return FN_AHEAD;
    }
    return row + FN_BAND < o->all_rows ? next_band : 0;
}
