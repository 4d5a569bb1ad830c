//! One executable check per statement of README.md: one module a statement.

#[macro_use]
mod common;

mod any_model;
mod betas;
mod certified_runs;
mod curvature;
mod hull;
mod jacobian;
mod literal_reading;
mod models;
mod orbit;
mod pl;
mod rounding;
mod sharper;
mod theorem_1;
mod theorem_2;
mod theorem_a;
mod value_gram;
mod zero_gradient;
