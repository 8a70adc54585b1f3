/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What    How an elementwise kernel goes through its rows, and where it puts them: straight to the
 *         output, or, past the cache, by way of a buffer in first-level cache. Streaming stores pay for
 *         whole lines only, and rows begin and end within lines (NumPy's large arrays start 16 bytes
 *         into one). Rows that follow each other without a gap are one stream of bytes; the buffer
 *         cuts it into lines, whatever their length and alignment.
 * Needs   vectors.h.
 */
#define FN_LINE 64
#define FN_OUT_BYTES 8192 /* of the buffer */
/* Rows with gaps between them are streamed one by one; shorter ones are too much partial lines. */
#define FN_OUT_LEAST 2048

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
    int stream, dense;
    /* the stream: the line that comes next, bytes of it that wait just before the second line of the
     * buffer, how many of these are not ours, and what the block at hand puts behind them */
    char *line;
    size_t left, foreign, pending;
    _Alignas(FN_LINE) char buffer[FN_LINE + FN_OUT_BYTES + FN_LINE];
} fn_out;

FN_INLINE void
fn_out_open(fn_out *o, char *y)
{
    o->left = o->foreign = (uintptr_t)y % FN_LINE;
    o->line = y - o->left;
}

/* What waits and the `pending` bytes behind it go out, up to the last whole line; the rest waits. Blocks
 * are stored at the beginning of a line and fetched from within: the other way would be slower. */
FN_INLINE void
fn_out_push(fn_out *o)
{
    const size_t end = o->left + o->pending, whole = end / FN_LINE * FN_LINE;
    const char *from = o->buffer + FN_LINE - o->left;
    size_t at = 0;
    if (o->foreign && whole) {
        memcpy(o->line + o->foreign, from + o->foreign, FN_LINE - o->foreign);
        o->foreign = 0;
        at = FN_LINE;
    }
    for (; at < whole; at += FN_LINE) {
        fn_stream_line(o->line + at, from + at);
    }
    o->line += whole;
    o->left = end - whole;
    memmove(o->buffer + FN_LINE - o->left, from + whole, o->left);
}

FN_INLINE void
fn_out_close(fn_out *o)
{
    memcpy(o->line + o->foreign, o->buffer + FN_LINE - o->left + o->foreign, o->left - o->foreign);
}

FN_INLINE void
fn_out_start(fn_out *o, int stream, void *y, ptrdiff_t ldy, size_t rows, size_t n, size_t item,
             int in_place)
{
    o->base = y;
    o->base_ld = ldy;
    o->all_rows = rows;
    o->n = n;
    o->item = item;
    o->dense = rows == 1 || ldy == (ptrdiff_t)(n * item);
    o->stream = stream && (o->dense || n * item >= FN_OUT_LEAST);
    o->apart = !in_place;
    o->row = o->rows = o->j0 = 0;
    o->j1 = n;
    o->pending = 0;
}

/* Go on to the next block; 0 when there is none. */
FN_INLINE int
fn_out_next(fn_out *o)
{
    const size_t width = o->n * o->item;
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
    if (o->j1 < o->n) {
        o->j0 = o->j1;
    }
    else {
        o->row += o->rows;
        o->j0 = 0;
        if (o->pending && (!o->dense || o->row == o->all_rows)) {
            fn_out_close(o);
        }
        if (o->row == o->all_rows) {
            return 0;
        }
        if (!o->dense || o->row == 0) {
            fn_out_open(o, o->base + (ptrdiff_t)o->row * o->base_ld);
        }
    }
    o->rows = 1;
    if (width > FN_OUT_BYTES) {
        const size_t most = FN_OUT_BYTES / o->item;
        o->j1 = o->n - o->j0 < most ? o->n : o->j0 + most;
    }
    else {
        o->j1 = o->n;
        if (o->dense) {
            const size_t most = FN_OUT_BYTES / width, left = o->all_rows - o->row;
            o->rows = left < most ? left : most;
        }
    }
    o->y = o->buffer + FN_LINE;
    o->ldy = (ptrdiff_t)width;
    o->pending = o->rows * (o->j1 - o->j0) * o->item;
    return 1;
}
