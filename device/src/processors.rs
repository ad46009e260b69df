//! Which processors the network's threads run on.

use std::fmt;
use std::io;
use std::str::FromStr;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// A set of processors, written as `0,2-3`: those of the system's own numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Processors(Vec<usize>);

impl Processors {
    /// Keeps the calling thread, and the threads that it makes from now on, on these processors.
    ///
    /// # Errors
    /// Returns the system's error when it has none of them.
    pub fn pin(&self) -> io::Result<()> {
        let mut set = CpuSet::new();
        self.0.iter().for_each(|&processor| set.set(processor));
        Ok(sched_setaffinity(None, &set)?)
    }
}

impl Processors {
    /// Checks that this program may run on each of them.
    ///
    /// # Errors
    /// Returns in a line which it may not, and which it may.
    pub fn check(&self) -> Result<(), String> {
        // A system that does not tell is believed to have them.
        let Ok(set) = sched_getaffinity(None) else { return Ok(()) };
        let Some(missing) = self.0.iter().find(|&&processor| !set.is_set(processor)) else {
            return Ok(());
        };
        let all = Self((0..CpuSet::MAX_CPU).filter(|&processor| set.is_set(processor)).collect());
        Err(format!("this machine has no processor {missing} for this program; it has {all}"))
    }
}

impl FromStr for Processors {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} names no processors; give numbers below {} such as 3 or 0,2-3",
                CpuSet::MAX_CPU
            )
        };
        let number = |text: &str| {
            text.trim().parse().ok().filter(|&number| number < CpuSet::MAX_CPU).ok_or_else(wrong)
        };
        let mut processors = Vec::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last): (usize, usize) = (number(first)?, number(last)?);
            if first > last {
                return Err(wrong());
            }
            processors.extend(first..=last);
        }
        processors.sort_unstable();
        processors.dedup();
        Ok(Self(processors))
    }
}

impl fmt::Display for Processors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers: Vec<String> = self.0.iter().map(usize::to_string).collect();
        f.write_str(&numbers.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_numbers_and_ranges() {
        let read = |text: &str| text.parse::<Processors>().map(|set| set.to_string());
        assert_eq!(read("3").unwrap(), "3");
        assert_eq!(read("2-3,0, 2").unwrap(), "0,2,3");
        for wrong in ["", "x", "3-1", "0,,1", "-1", "99999", "1-"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn pins_a_thread_to_a_processor() {
        let pinned = std::thread::spawn(|| {
            let only = sched_getaffinity(None).unwrap();
            let first = (0..CpuSet::MAX_CPU).find(|&processor| only.is_set(processor)).unwrap();
            let processors = Processors(vec![first]);
            processors.check().unwrap();
            processors.pin().unwrap();
            rustix::thread::sched_getaffinity(None).unwrap().count()
        });
        assert_eq!(pinned.join().unwrap(), 1);
    }
}
