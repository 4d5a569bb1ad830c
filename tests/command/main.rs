//! What the command does with its arguments, files and signals: one module a command.

mod certificates;
mod certify;
mod cli;
mod common;
mod data;
mod extreme_sizes;
mod falsify;
mod landscape;
mod report;
mod rocq;
mod sweep;
mod training;
