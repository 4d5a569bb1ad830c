//! The command line: see [`gdcert::cli`].

fn main() -> std::process::ExitCode {
    gdcert::cli::run(std::env::args_os())
}
