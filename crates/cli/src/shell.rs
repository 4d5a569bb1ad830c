//! `gdcert completions` and `gdcert man`: what a shell and a reader of manuals want.

use super::{Cli, Common, Outcome, print};
use crate::{Error, Result};
use clap::CommandFactory;
use clap_complete::Shell;
use gdcert_base::files::{Lock, Sharing, write_all};
use serde_json::json;

/// Prints the completions of a shell
#[derive(clap::Args)]
#[command(
    after_help = "Example: gdcert completions bash > ~/.local/share/bash-completion/completions/gdcert"
)]
pub(super) struct Completions {
    /// bash, zsh, fish, elvish or powershell
    #[arg(value_name = "SHELL", ignore_case = true)]
    shell: Shell,
}

/// Prints the manual page; with --out DIR, writes one for every command
#[derive(clap::Args)]
#[command(after_help = "Example: gdcert man | man -l -\n\
                        All of them: gdcert man --out ~/.local/share/man/man1")]
pub(super) struct Man {}

pub(super) fn completions(args: &Completions, common: &Common) -> Result<Outcome> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "gdcert", &mut script);
    show(common, "script", &String::from_utf8_lossy(&script));
    Ok(Outcome::Fine)
}

pub(super) fn man(_: &Man, common: &Common) -> Result<Outcome> {
    let mut command = Cli::command();
    command.build();
    match &common.out {
        None => show(common, "page", &String::from_utf8_lossy(&page(command)?)),
        Some(folder) => {
            let pages = pages(&command)?;
            std::fs::create_dir_all(folder).map_err(|e| Error::write(folder, e))?;
            let _lock = Lock::take(folder, Sharing::Alone)?;
            let named = pages
                .iter()
                .map(|(name, page)| (name.as_str(), page.clone()));
            write_all(folder, &Vec::from_iter(named), &|| Ok(()))?;
            if common.json {
                let names: Vec<_> = pages.iter().map(|(name, _)| folder.join(name)).collect();
                print(&format!("{:#}\n", json!({"pages": names})));
            }
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

/// The pages of a command and of all below it, with their file names.
fn pages(command: &clap::Command) -> Result<Vec<(String, Vec<u8>)>> {
    let mut all = Vec::new();
    for below in command.get_subcommands().filter(|c| !c.is_hide_set()) {
        all.extend(pages(below)?);
    }
    // clap writes "gdcert data imdb" for a command below; its page is called gdcert-data-imdb.
    let name = command.get_bin_name().unwrap_or("gdcert").replace(' ', "-");
    let text = page(command.clone().display_name(name.clone()))?;
    all.push((format!("{name}.1"), text));
    Ok(all)
}

/// A text as it is, or in JSON.
fn show(common: &Common, name: &str, text: &str) {
    match common.json {
        true => print(&format!("{:#}\n", json!({name: text}))),
        false => print(text),
    }
}
