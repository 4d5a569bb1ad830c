//! The command line: see [`gdcert_cli`].

fn main() -> std::process::ExitCode {
    gdcert_cli::run(std::env::args_os())
}
