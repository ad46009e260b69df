//! Which of the filled buffers is taken.

use std::io;

use super::sys::{Filled, Stream};

/// A queue of buffers: the driver fills them, and each must be given back to be filled again.
pub(super) trait Queue {
    /// A filled buffer.
    type Filled;

    /// Counts all buffers.
    fn buffers(&self) -> usize;

    /// Takes the oldest filled one, if there is any.
    fn dequeue(&mut self) -> io::Result<Option<Self::Filled>>;

    /// Gives one back.
    fn enqueue(&mut self, filled: Self::Filled) -> io::Result<()>;
}

impl Queue for Stream {
    type Filled = Filled;

    fn buffers(&self) -> usize {
        Self::buffers(self)
    }

    fn dequeue(&mut self) -> io::Result<Option<Filled>> {
        Self::dequeue(self)
    }

    fn enqueue(&mut self, filled: Filled) -> io::Result<()> {
        Self::enqueue(self, filled)
    }
}

/// Takes the newest filled buffer and gives back the others.
///
/// If all were filled, the driver has had none for an unknown time: the newest of them may be of long ago, and all are
/// given back. `None` then, and when nothing was filled: wait for the next.
pub(super) fn take<Q: Queue>(queue: &mut Q) -> io::Result<Option<Q::Filled>> {
    let mut filled = Vec::with_capacity(queue.buffers());
    while filled.len() < queue.buffers() {
        let Some(next) = queue.dequeue()? else { break };
        filled.push(next);
    }
    let is_fresh = filled.len() < queue.buffers();
    let newest = if is_fresh { filled.pop() } else { None };
    for older in filled {
        queue.enqueue(older)?;
    }
    Ok(newest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    /// A driver whose frames are numbers.
    #[derive(Default)]
    struct Driver {
        filled: VecDeque<u32>,
        free: usize,
        frame: u32,
        fails: bool,
    }

    impl Driver {
        fn new() -> Self {
            Self { free: 4, ..Self::default() }
        }

        /// So many frames arrive; those without a buffer are lost.
        fn run(&mut self, frames: u32) {
            for _ in 0..frames {
                self.frame += 1;
                if self.free > 0 {
                    self.free -= 1;
                    self.filled.push_back(self.frame);
                }
            }
        }
    }

    impl Queue for Driver {
        type Filled = u32;

        fn buffers(&self) -> usize {
            4
        }

        fn dequeue(&mut self) -> io::Result<Option<u32>> {
            if self.fails {
                Err(io::ErrorKind::NotConnected.into())
            } else {
                Ok(self.filled.pop_front())
            }
        }

        fn enqueue(&mut self, _: u32) -> io::Result<()> {
            self.free += 1;
            Ok(())
        }
    }

    #[test]
    fn takes_the_newest_and_gives_the_others_back() {
        let mut driver = Driver::new();
        assert_eq!(take(&mut driver).unwrap(), None);
        driver.run(3);
        assert_eq!(take(&mut driver).unwrap(), Some(3));
        assert_eq!((driver.free, driver.filled.len()), (3, 0));
        // Two arrive while it is converted.
        driver.run(2);
        driver.enqueue(3).unwrap();
        assert_eq!(take(&mut driver).unwrap(), Some(5));
        driver.enqueue(5).unwrap();
        assert_eq!(driver.free, 4);
    }

    #[test]
    fn what_may_be_old_is_not_taken() {
        let mut driver = Driver::new();
        driver.run(100);
        assert_eq!(take(&mut driver).unwrap(), None);
        assert_eq!(driver.free, 4);
        driver.run(1);
        assert_eq!(take(&mut driver).unwrap(), Some(101));
    }

    #[test]
    fn a_failure_is_told() {
        let mut driver = Driver { fails: true, ..Driver::new() };
        assert_eq!(take(&mut driver).unwrap_err().kind(), io::ErrorKind::NotConnected);
    }
}
