//! Threads that share the rows of one operator's result, each with memory of its own.
//!
//! What a row is computed from does not depend on how rows are shared, so neither do results.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use rayon::ThreadPool;
use rayon::iter::{IndexedParallelIterator, IntoParallelRefMutIterator, ParallelIterator};
use rayon::slice::ParallelSliceMut;

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
    scratch: Vec<Scratch>,
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

impl Workers {
    pub(in crate::engine) fn new(
        kernels: &'static dyn Kernels,
        pool: Option<Arc<ThreadPool>>,
    ) -> Self {
        let threads = pool.as_ref().map_or(1, |pool| pool.current_num_threads());
        let scratch = (0..threads).map(|_| Scratch::default()).collect();
        Self { kernels, pool, scratch }
    }

    /// Runs a closure on a thread of the pool, so that each [`Workers::share`] within needs no change of threads.
    pub(in crate::engine) fn within<R: Send>(
        &mut self,
        run: impl FnOnce(&mut Self) -> R + Send,
    ) -> R {
        match self.pool.clone() {
            Some(pool) => pool.install(|| run(self)),
            None => run(self),
        }
    }

    /// Gives each thread some rows: their numbers, their memory, and the thread's own.
    pub(in crate::engine) fn share<T: Send>(
        &mut self,
        shared: Shared<'_, T>,
        work: impl Fn(Range<usize>, &mut [T], &mut Scratch) + Sync,
    ) {
        let Shared { output, row, together, work: amount } = shared;
        let rows = output.len() / row.max(1);
        let threads = if amount < LITTLE_WORK { 1 } else { self.scratch.len() };
        let share = rows.div_ceil(threads).next_multiple_of(together);
        if self.pool.is_none() || share >= rows {
            work(0..rows, output, &mut self.scratch[0]);
            return;
        }
        output.par_chunks_mut(share * row).zip(self.scratch.par_iter_mut()).enumerate().for_each(
            |(index, (part, scratch))| {
                let first = index * share;
                work(first..first + part.len() / row, part, scratch);
            },
        );
    }
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
            let mut workers = Workers::new(families()[0], pool);
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
}
