//! `gdcert completions` and `gdcert man`: what a shell and a reader of manuals want.

use super::{Cli, Common, Outcome, print};
use crate::{Error, Result};
use clap::CommandFactory;
use clap_complete::Shell;
use gdcert_base::files::write_atomic;
use std::path::Path;

/// Prints the completions of a shell
#[derive(clap::Args)]
#[command(
    after_help = "Example: gdcert completions bash > ~/.local/share/bash-completion/completions/gdcert"
)]
pub(super) struct Completions {
    /// bash, zsh, fish, elvish or powershell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Prints the manual page; with --out DIR, writes one for every command
#[derive(clap::Args)]
#[command(after_help = "Example: gdcert man | man -l -\n\
                        All of them: gdcert man --out ~/.local/share/man/man1")]
pub(super) struct Man {}

pub(super) fn completions(args: &Completions) -> Result<Outcome> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "gdcert", &mut script);
    print(&String::from_utf8_lossy(&script));
    Ok(Outcome::Fine)
}

pub(super) fn man(_: &Man, common: &Common) -> Result<Outcome> {
    let mut command = Cli::command();
    command.build();
    match &common.out {
        None => print(&String::from_utf8_lossy(&page(command)?)),
        Some(folder) => {
            std::fs::create_dir_all(folder).map_err(|e| Error::write(folder, e))?;
            write_pages(&command, folder)?;
        }
    }
    Ok(Outcome::Fine)
}

fn page(command: clap::Command) -> Result<Vec<u8>> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command)
        .render(&mut page)
        .map_err(|e| Error::Numerical(format!("cannot form the manual page: {e}")))?;
    Ok(page)
}

fn write_pages(command: &clap::Command, folder: &Path) -> Result<()> {
    for below in command.get_subcommands().filter(|c| !c.is_hide_set()) {
        write_pages(below, folder)?;
    }
    // clap writes "gdcert data imdb" for a command below; its page is called gdcert-data-imdb.
    let name = command.get_bin_name().unwrap_or("gdcert").replace(' ', "-");
    let text = page(command.clone().display_name(name.clone()))?;
    write_atomic(&folder.join(format!("{name}.1")), &text)
}
