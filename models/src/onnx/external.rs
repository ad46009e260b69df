//! Weights that a model keeps in other files.
//!
//! The files must lie in the model's own folder or below it: a model that names `/etc/passwd` or
//! `../secret` is refused, and so is a link that leads out of the folder.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use prost::bytes::Bytes;

use super::proto::{GraphProto, ModelProto, TensorProto, tensor_proto};

/// External data that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExternalDataError {
    /// The tensor names no file.
    #[error("tensor {tensor:?} is external but names no file")]
    NoLocation {
        /// The tensor.
        tensor: String,
    },
    /// The file lies outside of the model's folder.
    #[error(
        "tensor {tensor:?} names {location:?}, which is not inside the model's folder; put the file beside the model"
    )]
    Escapes {
        /// The tensor.
        tensor: String,
        /// The path it names.
        location: String,
    },
    /// The file cannot be read.
    #[error(
        "the weights of tensor {tensor:?} are missing: {path}: {problem}; copy that file beside the model"
    )]
    Io {
        /// The tensor.
        tensor: String,
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        problem: io::Error,
    },
    /// Offset and length do not lie within the file.
    #[error(
        "tensor {tensor:?} wants bytes {offset} to {end} of {path}, which has {size}; the file does not belong to this model or is damaged"
    )]
    OutOfRange {
        /// The tensor.
        tensor: String,
        /// The file.
        path: PathBuf,
        /// First byte.
        offset: usize,
        /// One past the last byte.
        end: usize,
        /// Bytes in the file.
        size: usize,
    },
}

/// Moves all external data into the model.
pub(super) fn inline(model: &mut ModelProto, folder: &Path) -> Result<(), ExternalDataError> {
    let mut files = Files { folder: folder.to_owned(), read: HashMap::new() };
    match model.graph.as_mut() {
        Some(graph) => files.inline_graph(graph),
        None => Ok(()),
    }
}

struct Files {
    folder: PathBuf,
    read: HashMap<PathBuf, Bytes>,
}

impl Files {
    fn inline_graph(&mut self, graph: &mut GraphProto) -> Result<(), ExternalDataError> {
        for tensor in &mut graph.initializer {
            self.inline_tensor(tensor)?;
        }
        for attribute in graph.node.iter_mut().flat_map(|node| &mut node.attribute) {
            if let Some(tensor) = attribute.t.as_mut() {
                self.inline_tensor(tensor)?;
            }
            if let Some(subgraph) = attribute.g.as_mut() {
                self.inline_graph(subgraph)?;
            }
        }
        Ok(())
    }

    fn inline_tensor(&mut self, tensor: &mut TensorProto) -> Result<(), ExternalDataError> {
        if tensor.data_location() != tensor_proto::DataLocation::External {
            return Ok(());
        }
        let name = tensor.name().to_owned();
        let entry = |key: &str| {
            tensor.external_data.iter().find(|e| e.key() == key).map(|e| e.value().to_owned())
        };
        let location =
            entry("location").ok_or(ExternalDataError::NoLocation { tensor: name.clone() })?;
        let number = |key| entry(key).and_then(|value| value.parse::<usize>().ok());
        let offset = number("offset").unwrap_or(0);
        let path = self.resolve(&name, &location)?;
        let file = self.file(&name, &path)?;
        let end = number("length").map_or(file.len(), |length| offset.saturating_add(length));
        if offset > end || end > file.len() {
            let size = file.len();
            return Err(ExternalDataError::OutOfRange { tensor: name, path, offset, end, size });
        }
        tensor.raw_data = Some(file.slice(offset..end));
        tensor.data_location = None;
        tensor.external_data.clear();
        Ok(())
    }

    fn resolve(&self, tensor: &str, location: &str) -> Result<PathBuf, ExternalDataError> {
        let escapes = || ExternalDataError::Escapes {
            tensor: tensor.to_owned(),
            location: location.to_owned(),
        };
        let relative = Path::new(location);
        let stays =
            relative.components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
        if location.is_empty() || !stays {
            return Err(escapes());
        }
        let path = self.folder.join(relative);
        let io = |problem| ExternalDataError::Io {
            tensor: tensor.to_owned(),
            path: path.clone(),
            problem,
        };
        let folder = if self.folder.as_os_str().is_empty() { Path::new(".") } else { &self.folder };
        let real = fs::canonicalize(&path).map_err(io)?;
        if !real.starts_with(fs::canonicalize(folder).map_err(io)?) {
            return Err(escapes());
        }
        Ok(real)
    }

    fn file(&mut self, tensor: &str, path: &Path) -> Result<Bytes, ExternalDataError> {
        if let Some(bytes) = self.read.get(path) {
            return Ok(bytes.clone());
        }
        let io = |problem| ExternalDataError::Io {
            tensor: tensor.to_owned(),
            path: path.to_owned(),
            problem,
        };
        if !fs::metadata(path).map_err(io)?.is_file() {
            return Err(io(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file")));
        }
        let bytes = Bytes::from(fs::read(path).map_err(io)?);
        self.read.insert(path.to_owned(), bytes.clone());
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::super::proto::StringStringEntryProto;
    use super::*;

    fn model(location: &str, length: &str) -> ModelProto {
        let entry = |key: &str, value: &str| StringStringEntryProto {
            key: Some(key.to_owned()),
            value: Some(value.to_owned()),
        };
        let mut tensor = TensorProto {
            name: Some("w".to_owned()),
            external_data: vec![entry("location", location), entry("length", length)],
            ..TensorProto::default()
        };
        tensor.set_data_location(tensor_proto::DataLocation::External);
        let graph = GraphProto { initializer: vec![tensor], ..GraphProto::default() };
        ModelProto { graph: Some(graph), ..ModelProto::default() }
    }

    #[test]
    fn reads_weights_from_the_models_folder() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("w.bin"), [1, 2, 3, 4, 5]).unwrap();
        let mut model = model("w.bin", "4");
        inline(&mut model, folder.path()).unwrap();
        assert_eq!(model.graph.unwrap().initializer[0].raw_data(), [1, 2, 3, 4]);
    }

    #[test]
    fn refuses_to_leave_the_models_folder() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), b"secret").unwrap();
        let folder = outside.path().join("model");
        fs::create_dir(&folder).unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(outside.path().join("secret"), folder.join("link")).unwrap();
        for location in ["../secret", "/etc/passwd", "link", "", "a/../../secret"] {
            let refused = inline(&mut model(location, "4"), &folder);
            assert!(
                matches!(refused, Err(ExternalDataError::Escapes { .. })),
                "{location}: {refused:?}"
            );
        }
    }

    #[test]
    fn refuses_a_range_outside_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("w.bin"), [1, 2, 3]).unwrap();
        let refused = inline(&mut model("w.bin", "4"), folder.path());
        assert!(
            matches!(refused, Err(ExternalDataError::OutOfRange { size: 3, .. })),
            "{refused:?}"
        );
        let missing = inline(&mut model("v.bin", "4"), folder.path());
        assert!(matches!(missing, Err(ExternalDataError::Io { .. })), "{missing:?}");
    }
}
