//! Threads that share the rows of one operator's result, each with memory of its own.
//!
//! What a row is computed from does not depend on how rows are shared, so neither do results.

use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rayon::ThreadPool;

use super::kernels::Kernels;

/// Memory of one thread. It grows in the first pass and is kept.
#[derive(Debug, Default)]
pub(in crate::engine) struct Scratch {
    /// Patches of the input.
    pub(in crate::engine) patch: Vec<i8>,
    /// Widened values.
    pub(in crate::engine) wide: Vec<i16>,
    /// Sums.
    pub(in crate::engine) sums: Vec<i32>,
}

/// The threads, and the kernels that they run.
pub(in crate::engine) struct Workers {
    pub(in crate::engine) kernels: &'static dyn Kernels,
    pool: Option<Arc<ThreadPool>>,
    scratch: Vec<Mutex<Scratch>>,
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workers")
            .field("kernels", &self.kernels)
            .field("threads", &self.scratch.len())
            .finish_non_exhaustive()
    }
}

/// The result of an operator, to be shared by rows.
pub(in crate::engine) struct Shared<'a, T> {
    /// All rows.
    pub(in crate::engine) output: &'a mut [T],
    /// Values of a row.
    pub(in crate::engine) row: usize,
    /// Rows that are best left together.
    pub(in crate::engine) together: usize,
    /// About how many products or steps the result takes.
    pub(in crate::engine) work: usize,
}

/// Work that is not worth a second thread: some ten microseconds.
const LITTLE_WORK: usize = 100_000;
/// The pieces for each thread: one that is slowed down leaves some to the others.
const PIECES: usize = 4;

impl Workers {
    pub(in crate::engine) fn new(
        kernels: &'static dyn Kernels,
        pool: Option<Arc<ThreadPool>>,
    ) -> Self {
        let threads = pool.as_ref().map_or(1, |pool| pool.current_num_threads());
        let scratch = (0..threads).map(|_| Mutex::default()).collect();
        Self { kernels, pool, scratch }
    }

    /// Runs a closure while the pool's threads stand by: one that sleeps takes as long to wake as a small operator takes.
    pub(in crate::engine) fn within<R>(&self, run: impl FnOnce(&Self) -> R) -> R {
        let Some(pool) = &self.pool else { return run(self) };
        let is_over = AtomicBool::new(false);
        pool.in_place_scope(|scope| {
            let is_over = &is_over;
            scope.spawn_broadcast(move |_, context| {
                // This thread works, too.
                if context.index() > 0 {
                    stand_by(is_over);
                }
            });
            let _over = Over(is_over);
            run(self)
        })
    }

    /// Gives each thread some rows: their numbers, their memory, and the thread's own.
    pub(in crate::engine) fn share<T: Send>(
        &self,
        shared: Shared<'_, T>,
        work: impl Fn(Range<usize>, &mut [T], &mut Scratch) + Sync,
    ) {
        let Shared { output, row, together, work: amount } = shared;
        let rows = output.len() / row.max(1);
        let threads = self.scratch.len();
        let pieces = if amount < LITTLE_WORK { 1 } else { PIECES * threads };
        let share = rows.div_ceil(pieces).next_multiple_of(together);
        let Some(pool) = self.pool.as_ref().filter(|_| share < rows) else {
            work(0..rows, output, &mut self.scratch_of(0));
            return;
        };
        let pieces = Mutex::new(output.chunks_mut(share * row).enumerate());
        let take = |thread: usize| {
            let mut scratch = self.scratch_of(thread);
            let next = || {
                let mut pieces = unpoisoned(&pieces);
                // What lies side by side stays with a thread from operator to operator.
                if thread == 0 { pieces.next() } else { pieces.next_back() }
            };
            while let Some((index, part)) = next() {
                let first = index * share;
                work(first..first + part.len() / row, part, &mut scratch);
            }
        };
        let busy = AtomicUsize::new(threads - 1);
        pool.in_place_scope(|scope| {
            for thread in 1..threads {
                let (take, busy) = (&take, &busy);
                scope.spawn(move |_| {
                    let _busy = Busy(busy);
                    take(thread);
                });
            }
            take(0);
            // The scope would sleep until the others are done.
            wait(|| busy.load(Ordering::Acquire) == 0, || false);
        });
    }

    /// Gives the memory of a thread.
    fn scratch_of(&self, thread: usize) -> MutexGuard<'_, Scratch> {
        unpoisoned(&self.scratch[thread])
    }
}

/// Takes what a lock holds: what a panic has left there is written over.
fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tells those that stand by that it is over, even if it broke off.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Counts a thread as done, even if it broke off.
struct Busy<'a>(&'a AtomicUsize);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Release);
    }
}

/// How often a thread looks for work before it lets others have the processor in between: some ten microseconds.
const LOOKS: usize = 100;

/// Waits for something, awake; in between it does other work, where there is some.
fn wait(is_over: impl Fn() -> bool, work: impl Fn() -> bool) {
    let mut looks = 0;
    while !is_over() {
        looks = if work() { 0 } else { looks + 1 };
        if looks > LOOKS {
            std::thread::yield_now();
        } else {
            std::hint::spin_loop();
        }
    }
}

/// Does what work there is until it is over.
fn stand_by(is_over: &AtomicBool) {
    wait(|| is_over.load(Ordering::Acquire), || rayon::yield_now() == Some(rayon::Yield::Executed));
}

#[cfg(test)]
mod tests {
    use super::super::kernels::families;
    use super::*;

    #[test]
    fn each_row_is_given_once() {
        for threads in [1, 2, 3, 8] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let pool = (threads > 1).then(|| Arc::new(pool));
            let workers = Workers::new(families()[0], pool);
            for (rows, together) in [(1, 4), (13, 4), (16, 1), (100, 12)] {
                let mut output = vec![0; rows * 3];
                let shared = Shared { output: &mut output, row: 3, together, work: LITTLE_WORK };
                workers.share(shared, |range, part, _| {
                    assert_eq!(part.len(), 3 * range.len());
                    for (number, row) in range.zip(part.chunks_mut(3)) {
                        row.iter_mut().for_each(|value| *value += number + 1);
                    }
                });
                let expected: Vec<usize> = (0..rows * 3).map(|index| index / 3 + 1).collect();
                assert_eq!(output, expected);
            }
        }
    }

    #[test]
    fn a_thread_that_breaks_off_is_not_waited_for() {
        let pool = Arc::new(rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap());
        let workers = Workers::new(families()[0], Some(pool));
        let broken = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut output = vec![0; 64];
            let shared = Shared { output: &mut output, row: 1, together: 1, work: LITTLE_WORK };
            workers.within(|workers| {
                workers.share(shared, |_, _, _| {
                    assert!(rayon::current_thread_index().is_none(), "of the pool");
                    // The other thread gets its turn.
                    std::thread::sleep(std::time::Duration::from_millis(20));
                });
            });
        }));
        assert!(broken.is_err(), "what a thread says is heard");
    }
}
