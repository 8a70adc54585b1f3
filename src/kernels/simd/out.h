/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What    How an elementwise kernel goes through its rows, and where it puts them: straight to the
 *         output, or, past the cache, by way of a buffer in first-level cache. Streaming stores pay for
 *         whole lines only, and rows begin and end within lines (NumPy's large arrays start 16 bytes
 *         into one). The buffer cuts a stream of bytes into lines, whatever its length and alignment.
 * Method  Short rows that follow each other without a gap are one stream. Long rows, and rows with gaps,
 *         are a stream each, a band of them side by side: the memory reads better from several places. A
 *         block is filled, then sent off, and reading waits meanwhile: `most` says how much that is.
 * Needs   vectors.h.
 */
#define FN_LINE 64
#define FN_OUT_BYTES 8192 /* of the buffer: rows of one stream, or parts of the rows of a band */
#define FN_OUT_LEAST 2048 /* bytes of a row with gaps around it: less is too much partial lines */
#define FN_OUT_AHEAD 1024 /* bytes to what is read next, where rows go by in parts */

/* The line that comes next, bytes of it that wait, and how many of these are not ours. */
typedef struct {
    char *line;
    size_t left, foreign;
} fn_stream;

typedef struct {
    /* the block at hand: rows [row, row + rows), columns [j0, j1), and where its values go */
    size_t row, rows, j0, j1;
    char *y;
    ptrdiff_t ldy;
    int apart; /* the values go to other memory than they come from */
    /* the call */
    char *base;
    ptrdiff_t base_ld;
    size_t all_rows, n, item;
    int stream;
    int single;     /* one stream for all rows */
    size_t most;    /* bytes of a block, no more than FN_OUT_BYTES */
    size_t part;    /* bytes of a row in a block, where every row is a stream */
    size_t pending; /* bytes the block at hand puts into each stream */
    fn_stream streams[FN_BAND];
    _Alignas(FN_LINE) char buffer[FN_OUT_BYTES + FN_BAND * 2 * FN_LINE];
} fn_out;

FN_INLINE void
fn_stream_open(fn_stream *s, char *y)
{
    s->left = s->foreign = (uintptr_t)y % FN_LINE;
    s->line = y - s->left;
}

/* What waits, just before `values`, and the bytes there go out, up to the last whole line; the rest
 * waits. Blocks are stored at the beginning of a line and fetched from within: the other way would be
 * slower. */
FN_INLINE void
fn_stream_push(fn_stream *s, char *values, size_t bytes)
{
    const size_t end = s->left + bytes, whole = end / FN_LINE * FN_LINE;
    const char *from = values - s->left;
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
    s->left = end - whole;
    memmove(values - s->left, from + whole, s->left);
}

FN_INLINE void
fn_stream_close(fn_stream *s, const char *values)
{
    memcpy(s->line + s->foreign, values - s->left + s->foreign, s->left - s->foreign);
}

FN_INLINE void
fn_out_start(fn_out *o, int stream, size_t most, void *y, ptrdiff_t ldy, size_t rows, size_t n,
             size_t item, int in_place)
{
    const size_t width = n * item;
    const int dense = rows == 1 || ldy == (ptrdiff_t)width;
    o->base = y;
    o->base_ld = ldy;
    o->all_rows = rows;
    o->n = n;
    o->item = item;
    o->apart = !in_place;
    o->stream = stream && (dense || width >= FN_OUT_LEAST);
    o->single = dense && 2 * width <= FN_OUT_BYTES;
    o->most = o->single && 2 * width > most ? FN_OUT_BYTES : most; /* two rows at the least */
    o->row = o->rows = o->j0 = o->pending = 0;
    o->j1 = n;
}

/* Send off the block at hand. */
FN_INLINE void
fn_out_push(fn_out *o)
{
    const int end = o->single ? o->row + o->rows == o->all_rows : o->j1 == o->n;
    for (size_t i = 0; i < (o->single ? 1 : o->rows); i++) {
        fn_stream_push(&o->streams[i], o->y + (ptrdiff_t)i * o->ldy, o->pending);
        if (end) {
            fn_stream_close(&o->streams[i], o->y + (ptrdiff_t)i * o->ldy);
        }
    }
}

/* Go on to the next block; 0 when there is none. */
FN_INLINE int
fn_out_next(fn_out *o)
{
    if (!o->stream) {
        o->row += o->rows;
        o->rows = o->all_rows - o->row;
        o->y = o->base;
        o->ldy = o->base_ld;
        return o->rows != 0;
    }
    if (o->pending) {
        fn_out_push(o);
    }
    const size_t done = o->row + o->rows;
    o->y = o->buffer + FN_LINE;
    if (!o->single && o->pending && o->j1 < o->n) { /* the band goes on */
        o->j0 = o->j1;
    }
    else {
        if (done == o->all_rows) {
            return 0;
        }
        const size_t width = o->n * o->item;
        const size_t most = o->single ? o->most / width : FN_BAND;
        o->row = done;
        o->rows = o->all_rows - done < most ? o->all_rows - done : most;
        o->j0 = 0;
        o->part = o->most / o->rows / FN_LINE * FN_LINE;
        o->ldy = o->single ? (ptrdiff_t)width : (ptrdiff_t)(FN_LINE + o->part + FN_LINE);
        for (size_t i = 0; i < (o->single ? done == 0 : o->rows); i++) {
            fn_stream_open(&o->streams[i], o->base + (ptrdiff_t)(done + i) * o->base_ld);
        }
    }
    o->j1 = o->n;
    if (!o->single && (o->n - o->j0) * o->item > o->part) {
        o->j1 = o->j0 + o->part / o->item;
    }
    o->pending = o->single ? o->rows * o->n * o->item : (o->j1 - o->j0) * o->item;
    return 1;
}

/* Bytes to what is read after the band at `row`, where the driver does not say: the next band, if there is
 * one, or the next part of each row where they go by in parts. */
FN_INLINE ptrdiff_t
fn_out_ahead(const fn_out *o, size_t row, ptrdiff_t next_band)
{
    if (o->stream && (!o->single || !next_band)) {
        return FN_OUT_AHEAD;
    }
    return row + FN_BAND < o->all_rows ? next_band : 0;
}
