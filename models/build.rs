//! Generates the ONNX message types from `proto/onnx-ml.proto`, with no external `protoc`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto/onnx-ml.proto");
    let descriptors = protox::compile(["proto/onnx-ml.proto"], ["proto"])?;
    prost_build::Config::new()
        // `TensorProto.raw_data` holds the weights: a cheap clone matters more than a Vec.
        .bytes([".onnx.TensorProto.raw_data"])
        .compile_fds(descriptors)?;
    Ok(())
}
