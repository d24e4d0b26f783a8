//! kustomize: the charts that it renders, and which kustomizations lead to a file, what they and Flux make of the objects in it.

pub mod apply;
pub mod generate;
pub mod graph;
mod helm_charts;
pub mod images;
pub mod patch;

pub use graph::{Environment, FluxKustomization, Graph, Kustomization};
pub use helm_charts::read;
