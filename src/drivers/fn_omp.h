/* SPDX-License-Identifier: BSD-3-Clause
 *
 * OpenMP as threads.pyx sees it: the runtime, or its one-thread stand-in when the compiler has none.
 *
 * Fork: libgomp's idle workers do not survive fork(), and a child that opens a region waits for them
 * for ever. A handler in the parent, just before the fork, puts the calling thread's pool to rest
 * (OpenMP 5.0); parent and child then start new ones. If the runtime cannot, the child stays on one
 * thread.
 */
#ifndef FN_OMP_H
#define FN_OMP_H

#include <stdatomic.h>

#ifdef _OPENMP
#include <omp.h>
#define FN_OPENMP _OPENMP
/* libgomp has had OpenMP 5.0's pause since GCC 9, long before it claimed that version. */
#if _OPENMP >= 201811 || (defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 9)
#define FN_CAN_PAUSE 1
#endif
#else
#define FN_OPENMP 0
static inline int
omp_get_max_threads(void)
{
    return 1;
}
#endif

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>

static atomic_int fn_team_has_run;
static atomic_int fn_pause_failed;
static atomic_int fn_child_is_serial;

static void
fn_before_fork(void)
{
    if (atomic_load(&fn_team_has_run)) {
#ifdef FN_CAN_PAUSE
        atomic_store(&fn_pause_failed, omp_pause_resource_all(omp_pause_soft) != 0);
#else
        atomic_store(&fn_pause_failed, 1);
#endif
    }
}

static void
fn_in_child(void)
{
    if (atomic_load(&fn_pause_failed)) {
        atomic_store(&fn_child_is_serial, 1);
    }
}

static inline void
fn_guard_forks(void)
{
    pthread_atfork(fn_before_fork, NULL, fn_in_child);
}
#else
static atomic_int fn_team_has_run;
static atomic_int fn_child_is_serial;
static inline void
fn_guard_forks(void)
{
}
#endif

static inline void
fn_note_team(void)
{
    if (!atomic_load_explicit(&fn_team_has_run, memory_order_relaxed)) {
        atomic_store(&fn_team_has_run, 1);
    }
}

static inline int
fn_must_stay_serial(void)
{
    return atomic_load_explicit(&fn_child_is_serial, memory_order_relaxed);
}

/* num_threads(n) of one Python thread; 0: no override. */
static _Thread_local int fn_local_threads;

static inline int
fn_get_local_threads(void)
{
    return fn_local_threads;
}

static inline int
fn_set_local_threads(int n)
{
    int old = fn_local_threads;
    fn_local_threads = n;
    return old;
}

#endif
