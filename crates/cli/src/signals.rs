//! Signals that ask to stop, and one that must not end the process.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

/// Set by the first signal that asks to stop; long work looks at it between steps.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

pub(super) fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// What an observer of long work answers: to go on, until a signal asks to stop.
pub(super) fn go_on() -> ControlFlow<()> {
    match interrupted() {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    }
}

/// From here on a signal asks to stop, and the second one stops at once: files are written whole or not at all, so
/// nothing breaks.
///
/// `signal-hook` does what would need `unsafe` here. Where Ctrl-C is ignored, as for a script's background jobs, it is
/// handled all the same; a hang-up that is ignored (nohup) stays ignored.
pub(super) fn handle() -> std::io::Result<()> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    use signal_hook::flag::{register, register_conditional_shutdown};
    #[allow(unused_mut)] // without a SIGHUP, on Windows
    let mut asking = vec![SIGINT, SIGTERM];
    #[cfg(unix)]
    {
        use signal_hook::consts::SIGHUP;
        if !is_ignored(SIGHUP) {
            asking.push(SIGHUP);
        }
        // Beyond `ulimit -f` the write itself then fails, and says so.
        static BEYOND: AtomicBool = AtomicBool::new(false);
        if let Some(signal) = SIGXFSZ {
            register(signal, &BEYOND)?;
        }
    }
    for signal in asking {
        register_conditional_shutdown(signal, 130, &INTERRUPTED)?;
        register(signal, &INTERRUPTED)?;
    }
    Ok(())
}

/// The signal of a file that grows beyond the limit, where its number is known.
#[cfg(unix)]
const SIGXFSZ: Option<i32> = match cfg!(any(target_os = "linux", target_os = "macos")) {
    true => Some(25),
    false => None,
};

/// Whether a signal was ignored when the process began; Linux tells.
#[cfg(unix)]
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|l| l.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|m| u64::from_str_radix(m.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}
