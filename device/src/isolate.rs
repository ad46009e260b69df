//! Panics of the runtime, turned into errors.
//!
//! The runtime trusts its input, and a hostile model can make it panic. While a closure runs in here, the
//! panic hook prints nothing for this thread and for the runtime's own threads.

use std::any::Any;
use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

/// How the names of the runtime's threads begin.
pub(crate) const THREAD_NAME: &str = "lcam-engine";

thread_local! {
    static IS_QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Runs a closure and gives the first line of its panic message as the error, if it panics.
///
/// What the closure changed before it panicked must not be used again.
pub(crate) fn catch<T>(closure: impl FnOnce() -> T) -> Result<T, String> {
    install_hook();
    let before = IS_QUIET.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(closure));
    IS_QUIET.set(before);
    result.map_err(|payload| first_line(payload.as_ref()))
}

fn install_hook() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let thread = std::thread::current();
            let is_runtime = thread.name().is_some_and(|name| name.starts_with(THREAD_NAME));
            if !IS_QUIET.get() && !is_runtime {
                previous(info);
            }
        }));
    });
}

fn first_line(payload: &(dyn Any + Send)) -> String {
    let text = payload
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| payload.downcast_ref::<&str>().copied());
    text.and_then(|text| text.lines().next()).unwrap_or("no message").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_panics_into_messages() {
        assert_eq!(catch(|| 7), Ok(7));
        assert_eq!(catch(|| -> u8 { panic!("bad\nthing {}", 1) }), Err("bad".to_owned()));
        assert_eq!(catch(|| -> u8 { panic::panic_any(3_u32) }), Err("no message".to_owned()));
        assert!(!IS_QUIET.get(), "the hook speaks again");
    }
}
