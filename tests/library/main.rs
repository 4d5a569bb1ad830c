//! What the libraries promise, against cases from other programs where there are some.

mod attention_graph;
mod classifier;
mod classifier_parity;
mod instances;
mod reference_cases;
mod verify;
