//! A node's attributes, parsed once and checked.

use lcam_models::onnx::{AttributeProto, NodeProto, TensorProto};

use super::error::NodeError;

/// A node while it is turned into an operator.
pub(super) struct Attributes<'a> {
    node: &'a NodeProto,
    /// The version of the operator set.
    pub(super) opset: i64,
}

impl<'a> Attributes<'a> {
    pub(super) fn new(node: &'a NodeProto, opset: i64) -> Self {
        Self { node, opset }
    }

    /// Counts the node's outputs.
    pub(super) fn outputs(&self) -> usize {
        self.node.output.len()
    }

    fn find(&self, name: &str) -> Option<&'a AttributeProto> {
        self.node.attribute.iter().find(|attribute| attribute.name() == name)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    pub(super) fn int(&self, name: &str) -> Option<i64> {
        self.find(name).map(|attribute| attribute.i())
    }

    pub(super) fn int_or(&self, name: &str, default: i64) -> i64 {
        self.int(name).unwrap_or(default)
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        self.int_or(name, 0) != 0
    }

    pub(super) fn float_or(&self, name: &str, default: f32) -> f64 {
        f64::from(self.find(name).map_or(default, |attribute| attribute.f()))
    }

    pub(super) fn ints(&self, name: &str) -> Option<Vec<i64>> {
        self.find(name).map(|attribute| attribute.ints.clone())
    }

    pub(super) fn floats(&self, name: &str) -> Option<&'a [f32]> {
        self.find(name).map(|attribute| &attribute.floats[..])
    }

    pub(super) fn tensor(&self, name: &str) -> Option<&'a TensorProto> {
        self.find(name).and_then(|attribute| attribute.t.as_ref())
    }

    /// Gives a text attribute, or the default if it is left out.
    pub(super) fn text_or(&self, name: &str, default: &'a str) -> &'a str {
        self.find(name)
            .map_or(default, |attribute| std::str::from_utf8(attribute.s()).unwrap_or("not UTF-8"))
    }

    pub(super) fn require<T>(&self, name: &str, value: Option<T>) -> Result<T, NodeError> {
        value.ok_or_else(|| self.wrong(name, "is missing"))
    }

    /// Makes the error for an attribute.
    pub(super) fn wrong(&self, name: &str, problem: impl Into<String>) -> NodeError {
        NodeError::Attribute { name: name.to_owned(), problem: problem.into() }
    }
}
