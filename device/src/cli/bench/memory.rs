//! What the operating system says of the process's memory.

/// Gives the most memory that the process has held, in bytes (`VmHWM` of Linux); `None` elsewhere.
pub(super) fn peak() -> Option<u64> {
    peak_of(&std::fs::read_to_string("/proc/self/status").ok()?)
}

fn peak_of(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_linux_own_words() {
        let status = "Name:\tlcam-device\nVmPeak:\t  200 kB\nVmHWM:\t   84512 kB\nVmRSS:\t 1 kB\n";
        assert_eq!(peak_of(status), Some(84_512 * 1024));
        assert_eq!(peak_of("Name:\tx\n"), None);
        assert_eq!(peak_of("VmHWM:\tmuch\n"), None);
    }
}
