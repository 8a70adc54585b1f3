/* SPDX-License-Identifier: BSD-3-Clause
 *
 * One parallel region, and what it tells about the machine.
 *
 * A team ends with a barrier: whoever is done waits for all others, also for one that the system has
 * not let run. On cores that others keep busy that is a time slice or two, milliseconds for a call of
 * microseconds. A region in which the caller waited far longer than it worked therefore puts teams off
 * for a while, twice as long each time, and calls run on the caller's thread alone. Who works
 * changes no bit.
 */
#ifndef FN_TEAM_H
#define FN_TEAM_H

#include "fn_omp.h"

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define FN_WAIT_NS 200000        /* a wait that says something */
#define FN_WAIT_SHARE 4          /* ... if it is so many times the work */
#define FN_PUT_OFF_NS 50000000LL /* the first time */
#define FN_PUT_OFF_MAX_NS 1600000000LL

static _Atomic int64_t fn_alone_until; /* on the monotonic clock; 0: no team was put off */
static _Atomic int64_t fn_put_off;     /* for how long, the last time */

static inline int64_t
fn_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* Whether teams are put off at the moment. */
static inline int
fn_is_crowded(void)
{
    const int64_t until = atomic_load_explicit(&fn_alone_until, memory_order_relaxed);
    return until != 0 && fn_now() < until;
}

static inline void
fn_note_wait(int64_t work, int64_t wait)
{
    int64_t length = atomic_load_explicit(&fn_put_off, memory_order_relaxed);
    if (wait < FN_WAIT_NS || wait < FN_WAIT_SHARE * work) {
        if (length != 0) {
            atomic_store_explicit(&fn_put_off, length / 2, memory_order_relaxed);
        }
        return;
    }
    length = length < FN_PUT_OFF_NS / 2 ? FN_PUT_OFF_NS : 2 * length;
    length = length < FN_PUT_OFF_MAX_NS ? length : FN_PUT_OFF_MAX_NS;
    atomic_store_explicit(&fn_put_off, length, memory_order_relaxed);
    atomic_store_explicit(&fn_alone_until, fn_now() + length, memory_order_relaxed);
}

typedef void (*fn_task)(void *context, ptrdiff_t task);

/* The next task of a thread's own share, on a line of its own. */
typedef struct {
    _Alignas(64) _Atomic ptrdiff_t next;
} fn_share;

/* run(context, i) for every i < tasks. Each thread takes the tasks of its own share, which lie side by side and
 * are the same in every call, then what is left of the others': what it wrote is in its cache, and what
 * its processor reads ahead is not about to be written by another. */
static inline void
fn_run_team(ptrdiff_t tasks, fn_task run, void *context, int threads)
{
#if FN_OPENMP
    fn_share shares[threads];
    int64_t done = 0;
    const int64_t start = fn_now();
    for (int k = 0; k < threads; k++) {
        atomic_init(&shares[k].next, tasks * k / threads);
    }
    fn_note_team();
#pragma omp parallel num_threads(threads) default(shared)
    {
        const int self = omp_get_thread_num();
        for (int k = 0; k < threads; k++) {
            const int of = (self + k) % threads;
            const ptrdiff_t stop = tasks * (of + 1) / threads;
            for (ptrdiff_t i; (i = atomic_fetch_add_explicit(&shares[of].next, 1,
                                                             memory_order_relaxed)) < stop;) {
                run(context, i);
            }
        }
#pragma omp master
        done = fn_now();
    }
    fn_note_wait(done - start, fn_now() - done);
#else
    (void)threads;
    for (ptrdiff_t i = 0; i < tasks; i++) {
        run(context, i);
    }
#endif
}

#endif
