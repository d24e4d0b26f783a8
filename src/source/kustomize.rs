//! kustomize: which kustomizations lead to a file, what they and Flux make of the objects in it.

pub mod apply;
pub mod generate;
pub mod graph;
pub mod patch;

pub use graph::{Environment, FluxKustomization, Graph, Kustomization};
