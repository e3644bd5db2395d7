//! Panics of a run as results: an assertion in a replica is that run's violation, not the end of the program.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::Once;

thread_local! {
    /// What this thread's last panic said, while a caught run is under way.
    static CAUGHT: RefCell<Option<String>> = const { RefCell::new(None) };
    static CATCHING: RefCell<bool> = const { RefCell::new(false) };
}

static HOOK: Once = Once::new();

/// Runs `body`; a panic becomes its message and place.
pub(crate) fn caught<T>(body: impl FnOnce() -> T) -> Result<T, String> {
    HOOK.call_once(install);
    CATCHING.set(true);
    let result = catch_unwind(AssertUnwindSafe(body));
    CATCHING.set(false);
    result.map_err(|_| CAUGHT.take().unwrap_or_else(|| "panic".to_owned()))
}

/// Replaces the hook that prints by one that remembers, for threads inside [`caught`].
fn install() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if CATCHING.with_borrow(|catching| *catching) {
            CAUGHT.set(Some(describe(info)));
        } else {
            print(info);
        }
    }));
}

fn describe(info: &PanicHookInfo<'_>) -> String {
    let message = info.payload_as_str().unwrap_or("panic");
    // One line: reports and JSON lines show it.
    let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
    match info.location() {
        Some(place) => format!("panic at {}:{}: {message}", place.file(), place.line()),
        None => format!("panic: {message}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_its_message_and_place_and_the_next_run_is_unharmed() {
        let message = caught(|| panic!("two\nlines")).unwrap_err();
        assert!(
            message.starts_with("panic at ") && message.ends_with(": two lines"),
            "{message}"
        );
        assert_eq!(caught(|| 7), Ok(7));
    }
}
