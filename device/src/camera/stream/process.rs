//! A child process that never outlives its owner, nor stays as a zombie.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitIdStatus, kill_process_group, waitid,
};

/// How long a child may take to put its camera away before it is killed.
const PARTING_PATIENCE: Duration = Duration::from_secs(1);
/// How often a child is looked after while it is about to end.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// A child with a process group of its own.
///
/// It is not reaped before it is dropped: until then its number, and that of its group, belong to nobody else.
#[derive(Debug)]
pub(super) struct ChildProcess(Child);

impl ChildProcess {
    /// Starts a command. Gives, besides the child, its standard output and its standard error.
    pub(super) fn spawn(command: &mut Command) -> io::Result<(Self, OwnedFd, OwnedFd)> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.process_group(0).spawn()?;
        let pipes = child.stdout.take().zip(child.stderr.take());
        let child = Self(child);
        let (output, errors) = pipes.ok_or_else(|| io::Error::other("the child has no output"))?;
        Ok((child, output.into(), errors.into()))
    }

    /// Waits until it has ended. Gives whether it ended in good order, and how if it did not.
    pub(super) fn describe_exit(&self, patience: Duration) -> (bool, Option<String>) {
        let Some(status) = self.wait(patience) else {
            return (true, Some("it closed its output and still runs".to_owned()));
        };
        match (status.exit_status(), status.terminating_signal()) {
            (Some(0), _) => (true, None),
            (Some(code), _) => (false, Some(format!("it ended with exit code {code}"))),
            (None, Some(signal)) => (false, Some(format!("it was ended by signal {signal}"))),
            (None, None) => (false, Some("it ended".to_owned())),
        }
    }

    fn wait(&self, patience: Duration) -> Option<WaitIdStatus> {
        let deadline = Instant::now() + patience;
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        loop {
            let status = waitid(WaitId::Pid(Pid::from_child(&self.0)), options).ok().flatten();
            if status.is_some() || Instant::now() >= deadline {
                return status;
            }
            thread::sleep(LOOK_INTERVAL);
        }
    }
}

impl Drop for ChildProcess {
    fn drop(&mut self) {
        let group = Pid::from_child(&self.0);
        // Errors mean that nobody is left, which is what is wanted.
        let _ = kill_process_group(group, Signal::TERM);
        self.wait(PARTING_PATIENCE);
        let _ = kill_process_group(group, Signal::KILL);
        let _ = self.0.wait();
    }
}
