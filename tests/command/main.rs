//! What the command does with its arguments, files and signals: one module a command.

mod certificates;
mod certify;
mod claims;
mod cli;
mod common;
mod data;
mod extreme_sizes;
mod falsify;
mod figures;
mod landscape;
mod models;
mod report;
mod sweep;
mod training;
