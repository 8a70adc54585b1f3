# SPDX-License-Identifier: BSD-3-Clause
"""Who works: the number of threads of a call, and the one loop that hands out tasks.

With fn_omp.h (the runtime, forks) and fn_team.h (the parallel region, and when there is none) the
only file that knows OpenMP. Results never depend on anything in here: which task computes what,
and in which order partial results are merged, is fixed by the drivers from the shape alone.
"""

import os

cdef extern from "fn_omp.h" nogil:
    int FN_OPENMP
    int omp_get_max_threads()
    void fn_guard_forks()
    bint fn_must_stay_serial()
    int fn_get_local_threads()
    int fn_set_local_threads(int n)

cdef extern from "fn_team.h" nogil:
    bint fn_is_crowded()
    void fn_run_team(Py_ssize_t tasks, task_fn run, void *context, int threads)

cdef enum:
    LONG = 8388608  # values of work beside which a time slice spent waiting is little: some ms
    GRAIN = 49152  # values of work that pay for one more thread: some 10 us

cdef int setting = 0        # process-wide
cdef int initial = 1        # what OpenMP said at import; a change of it is somebody's limit


cdef int allowed() noexcept nogil:
    """Threads a call may use: the own setting, capped by a limit put on OpenMP from outside."""
    cdef int n = fn_get_local_threads(), runtime
    if fn_must_stay_serial():
        return 1
    if n == 0:
        n = setting
    runtime = omp_get_max_threads()
    return runtime if runtime != initial and runtime < n else n


cdef int effective(size_t work) noexcept nogil:
    """Threads that pay for so many values of work."""
    cdef size_t useful = work / GRAIN
    cdef int n
    if useful <= 1 or not FN_OPENMP or (work < LONG and fn_is_crowded()):
        return 1
    n = allowed()
    return n if useful > <size_t>n else <int>useful


cdef void parallel_for(Py_ssize_t tasks, task_fn run, void *context, int threads) noexcept nogil:
    """run(context, i) for every i < tasks. Each thread has its share, and helps with others'."""
    cdef Py_ssize_t i
    if threads > tasks:
        threads = <int>tasks
    if threads > 1:
        fn_run_team(tasks, run, context, threads)
        return
    for i in range(tasks):
        run(context, i)


def set_num_threads(int n):
    """Set the process-wide number of threads."""
    global setting
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    setting = n if FN_OPENMP else 1


def set_local_num_threads(int n):
    """Override the number of threads of the calling thread (0: no override); returns the old."""
    if n < 0:
        raise ValueError(f"n must be at least 0, got {n}")
    return fn_set_local_threads(n if FN_OPENMP or n == 0 else 1)


def get_num_threads():
    """Threads that a large call from this thread would use now."""
    return allowed()


def max_threads():
    """What OpenMP itself would use from this thread."""
    return omp_get_max_threads()


def openmp_version():
    """Date code of the OpenMP this build was compiled with; 0 without."""
    return FN_OPENMP


def _cgroup_cpus():
    """CPUs a container quota leaves us, rounded up; None without one."""
    try:
        with open("/sys/fs/cgroup/cpu.max") as f:
            quota, period = f.read().split()
    except (OSError, ValueError):
        try:
            with open("/sys/fs/cgroup/cpu/cpu.cfs_quota_us") as f:
                quota = f.read().strip()
            with open("/sys/fs/cgroup/cpu/cpu.cfs_period_us") as f:
                period = f.read().strip()
        except OSError:
            return None
    if not quota.isdecimal() or not period.isdecimal() or int(period) == 0:
        return None
    return max(1, -(-int(quota) // int(period)))


def _start():
    """OMP_NUM_THREADS decides alone; else affinity (OpenMP knows it) and the container's quota."""
    global setting, initial
    initial = omp_get_max_threads()
    setting = initial
    if "OMP_NUM_THREADS" not in os.environ:
        quota = _cgroup_cpus()
        if quota is not None and quota < setting:
            setting = quota
    fn_guard_forks()


_start()
