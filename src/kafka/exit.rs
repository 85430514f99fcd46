//! Ends the process while threads of librdkafka may still run.

use std::io::{self, Write as _};

/// Ends the process with `code`.
///
/// `std::process::exit`, and returning from `main`, run the exit handlers of C libraries. OpenSSL's frees what a thread
/// of librdkafka still uses that closes a connection with TLS, and the process ends with SIGSEGV instead of its code. A
/// client may take any time to close, so the process does not wait for it.
pub fn exit_process(code: u8) -> ! {
    drop(io::stdout().flush());
    signal_hook::low_level::exit(i32::from(code))
}
