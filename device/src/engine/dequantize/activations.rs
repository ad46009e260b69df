//! Pairs of `QuantizeLinear` and `DequantizeLinear` as clips to the range of their integers.

use std::collections::{BTreeSet, HashMap, HashSet};

use lcam_models::onnx::{GraphProto, NodeProto, TensorProto};

use super::pair::Pair;
use super::range::{Range, Ranges, cut_by};

/// Replaces each pair by a `Clip`, or by nothing where the values lie in the range anyway, and gives the types of the
/// integers between them. Quantisers that no pair needs any more are still there.
pub(super) fn clip_activations(graph: &mut GraphProto) -> BTreeSet<&'static str> {
    let nodes = std::mem::take(&mut graph.node);
    let mut readers: HashMap<String, usize> = HashMap::new();
    for name in nodes.iter().flat_map(|node| &node.input) {
        *readers.entry(name.clone()).or_default() += 1;
    }
    let mut rewriter = Rewriter {
        constants: graph.initializer.iter().map(|tensor| (tensor.name(), tensor)).collect(),
        outputs: graph.output.iter().map(|output| output.name().to_owned()).collect(),
        readers,
        quantizers: HashMap::new(),
        renamed: HashMap::new(),
        cuts: HashMap::new(),
        ranges: Ranges::default(),
        nodes: Vec::with_capacity(nodes.len()),
        bounds: Vec::new(),
        types: BTreeSet::new(),
    };
    nodes.into_iter().for_each(|node| rewriter.take(node));
    let Rewriter { nodes, bounds, types, .. } = rewriter;
    graph.node = nodes;
    graph.initializer.extend(bounds);
    types
}

/// What cuts a tensor to a range.
struct Cut {
    input: String,
    range: Range,
}

struct Rewriter<'a> {
    constants: HashMap<&'a str, &'a TensorProto>,
    outputs: HashSet<String>,
    /// How many inputs of nodes a tensor was in the file.
    readers: HashMap<String, usize>,
    /// What `QuantizeLinear` makes -> the node.
    quantizers: HashMap<String, NodeProto>,
    /// A tensor that is not made any more -> the one that is read in its place.
    renamed: HashMap<String, String>,
    /// What a `Clip` or a `Relu` makes -> how.
    cuts: HashMap<String, Cut>,
    ranges: Ranges,
    nodes: Vec<NodeProto>,
    bounds: Vec<TensorProto>,
    types: BTreeSet<&'static str>,
}

impl Rewriter<'_> {
    fn take(&mut self, mut node: NodeProto) {
        for input in &mut node.input {
            if let Some(name) = self.renamed.get(input) {
                input.clone_from(name);
            }
        }
        match (node.op_type(), &node.output[..]) {
            ("QuantizeLinear", [output]) => {
                self.quantizers.insert(output.clone(), node.clone());
                self.nodes.push(node);
            }
            ("DequantizeLinear", [output]) => match self.pair(&node) {
                Some(pair) => self.replace(&pair, output.clone()),
                None => self.nodes.push(node),
            },
            ("Clip" | "Relu", [output]) => match cut_by(&node, &self.constants) {
                Some(range) => self.cut(node.input[0].clone(), range, output.clone(), Some(node)),
                None => self.push(node, None),
            },
            _ => self.push(node, None),
        }
    }

    fn pair(&self, dequantizer: &NodeProto) -> Option<Pair> {
        let quantizer = self.quantizers.get(dequantizer.input.first()?)?;
        Pair::find(quantizer, dequantizer, &self.constants)
    }

    fn replace(&mut self, pair: &Pair, output: String) {
        self.types.insert(pair.integers.name);
        // Values up to half of a step further out are rounded to the end.
        let cuts = !pair.range().holds(self.ranges.get(&pair.input), pair.scale / 2.0);
        if cuts || self.outputs.contains(&output) {
            self.cut(pair.input.clone(), pair.range(), output, None);
        } else {
            self.renamed.insert(output, pair.input.clone());
        }
    }

    /// Adds a cut. Where another one makes its input, and for nobody else, one node does for both; `node` is what does
    /// it alone, if there is one.
    fn cut(&mut self, input: String, range: Range, output: String, node: Option<NodeProto>) {
        let alone = self.readers.get(&input) == Some(&1) && !self.outputs.contains(&input);
        let before = self.cuts.get(&input).filter(|_| alone);
        let both = before.and_then(|cut| Some((cut.input.clone(), cut.range.and(range)?)));
        let merged = both.is_some();
        let (input, range) = both.unwrap_or((input, range));
        let node = match node {
            Some(node) if !merged => node,
            _ => self.clip(&input, range, &output),
        };
        self.cuts.insert(output, Cut { input, range });
        self.push(node, Some(range));
    }

    fn push(&mut self, node: NodeProto, cut: Option<Range>) {
        self.ranges.insert(&node, cut);
        self.nodes.push(node);
    }

    fn clip(&mut self, input: &str, range: Range, output: &str) -> NodeProto {
        let mut bound = |name: &str, value: f32| {
            if value.is_infinite() {
                return String::new();
            }
            let name = format!("{output}.{name}");
            self.bounds.push(TensorProto::from_f32(&name, &[], &[value]));
            name
        };
        let inputs = [input.to_owned(), bound("least", range.low), bound("greatest", range.high)];
        NodeProto {
            // Its output may be called as the node is that made it before quantisation.
            name: Some(format!("{output}.clip")),
            op_type: Some("Clip".to_owned()),
            input: inputs.to_vec(),
            output: vec![output.to_owned()],
            ..NodeProto::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use lcam_models::onnx::ValueInfoProto;

    use super::*;

    fn node(operator: &str, inputs: &[&str], output: &str) -> NodeProto {
        NodeProto {
            op_type: Some(operator.to_owned()),
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: vec![output.to_owned()],
            ..NodeProto::default()
        }
    }

    /// `y` = dequantised, quantised `x`, as uint8 from 0 to 5.1, or as int8 from -2.56 to 2.54.
    fn pair(x: &str, y: &str, kind: &str) -> [NodeProto; 2] {
        let (middle, zero) = (format!("{y}.integers"), format!("{kind}.zero"));
        [
            node("QuantizeLinear", &[x, "scale", &zero], &middle),
            node("DequantizeLinear", &[&middle, "scale", &zero], y),
        ]
    }

    /// Rewrites a graph that makes `y` of `x`; gives what is left as text.
    fn rewritten(nodes: Vec<NodeProto>) -> Vec<String> {
        let mut graph = GraphProto {
            node: nodes,
            initializer: vec![
                TensorProto::from_f32("scale", &[], &[0.02]),
                TensorProto::from_f32("other scale", &[], &[0.03]),
                TensorProto::from_f32("three", &[], &[3.0]),
                TensorProto::from_f32("zero", &[], &[0.0]),
                TensorProto::from_u8("u.zero", &[], &[0]),
                TensorProto::from_i8("i.zero", &[], &[0]),
            ],
            output: vec![ValueInfoProto { name: Some("y".to_owned()), ..Default::default() }],
            ..GraphProto::default()
        };
        clip_activations(&mut graph);
        graph.keep_what_makes(&["y"]);
        let bound = |name: &String| {
            let tensor = graph.initializer.iter().find(|tensor| tensor.name() == name);
            tensor.map_or(name.clone(), |tensor| format!("{:.2}", tensor.to_f32().unwrap()[0]))
        };
        let text = |node: &NodeProto| {
            let inputs: Vec<String> = node.input.iter().map(bound).collect();
            format!("{} = {}({})", node.output[0], node.op_type(), inputs.join(", "))
        };
        graph.node.iter().map(text).collect()
    }

    fn chain(parts: &[&[NodeProto]]) -> Vec<NodeProto> {
        parts.concat()
    }

    #[test]
    fn a_range_that_stands_for_an_activation_becomes_a_clip() {
        let nodes = chain(&[
            &[node("Conv", &["x", "w"], "a")],
            &pair("a", "b", "u"),
            &[node("Conv", &["b", "w"], "y")],
        ]);
        assert_eq!(
            rewritten(nodes),
            ["a = Conv(x, w)", "b = Clip(a, 0.00, 5.10)", "y = Conv(b, w)"]
        );
    }

    #[test]
    fn a_range_that_cuts_nothing_leaves_nothing() {
        for maker in [node("Clip", &["x", "zero", "three"], "a"), node("Sigmoid", &["x"], "a")] {
            let nodes = chain(&[
                std::slice::from_ref(&maker),
                &pair("a", "b", "u"),
                &[node("MaxPool", &["b"], "c")],
                &pair("c", "d", "u"),
                &[node("Conv", &["d", "w"], "y")],
            ]);
            let left = rewritten(nodes);
            assert_eq!(left[1..], ["c = MaxPool(a)", "y = Conv(c, w)"], "{left:?}");
        }
    }

    #[test]
    fn two_clips_in_a_row_become_one() {
        let nodes = chain(&[
            &[node("Conv", &["x", "w"], "a"), node("Relu", &["a"], "b")],
            &pair("b", "c", "i"),
            &[node("Conv", &["c", "w"], "y")],
        ]);
        let expected = ["a = Conv(x, w)", "c = Clip(a, 0.00, 2.54)", "y = Conv(c, w)"];
        assert_eq!(rewritten(nodes), expected);
        // The other way round: rounded before the activation.
        let nodes = chain(&[
            &[node("Conv", &["x", "w"], "a")],
            &pair("a", "b", "i"),
            &[node("Relu", &["b"], "c"), node("Conv", &["c", "w"], "y")],
        ]);
        assert_eq!(rewritten(nodes), expected);
    }

    #[test]
    fn what_others_read_stays() {
        let nodes = chain(&[
            &[node("Relu", &["x"], "a")],
            &pair("a", "b", "i"),
            &[node("Add", &["a", "b"], "y")],
        ]);
        assert_eq!(
            rewritten(nodes),
            ["a = Relu(x)", "b = Clip(a, -2.56, 2.54)", "y = Add(a, b)"],
            "the sum reads what is not cut, too"
        );
        let nodes = chain(&[&[node("Sigmoid", &["x"], "a")], &pair("a", "y", "u")]);
        assert_eq!(rewritten(nodes), ["a = Sigmoid(x)", "y = Clip(a, 0.00, 5.10)"]);
    }

    #[test]
    fn pairs_that_do_not_match_are_left_to_the_runtime() {
        let mut nodes = pair("x", "y", "u").to_vec();
        nodes[1].input[1] = "other scale".to_owned();
        let left = rewritten(nodes);
        assert!(left[0].contains("QuantizeLinear") && left[1].contains("Dequantize"), "{left:?}");
        let mut nodes = pair("x", "y", "u").to_vec();
        nodes[1].input[2] = "i.zero".to_owned();
        assert_eq!(rewritten(nodes).len(), 2);
        // Without a zero point, integers are uint8 from 0.
        let mut nodes = pair("x", "y", "u").to_vec();
        nodes.iter_mut().for_each(|node| node.input.truncate(2));
        assert_eq!(rewritten(nodes), ["y = Clip(x, 0.00, 5.10)"]);
    }

    #[test]
    fn clips_that_share_nothing_are_not_merged() {
        let mut below = node("Clip", &["x", "", "minus"], "a");
        below.input[2] = "zero".to_owned();
        let nodes = chain(&[&[below, node("Clip", &["a", "three", ""], "y")]]);
        assert_eq!(rewritten(nodes), ["a = Clip(x, , 0.00)", "y = Clip(a, 3.00, )"]);
    }

    #[test]
    fn no_clip_takes_the_name_of_another_node() {
        // Quantisers name what a node makes anew, and the node itself keeps its name.
        let mut maker = node("Add", &["x", "x"], "y.float");
        maker.name = Some("y".to_owned());
        let mut graph = GraphProto {
            node: [vec![maker], pair("y.float", "y", "u").to_vec()].concat(),
            initializer: vec![
                TensorProto::from_f32("scale", &[], &[0.02]),
                TensorProto::from_u8("u.zero", &[], &[0]),
            ],
            output: vec![ValueInfoProto { name: Some("y".to_owned()), ..Default::default() }],
            ..GraphProto::default()
        };
        clip_activations(&mut graph);
        let named = |kind: &str| {
            graph.node.iter().find(|node| node.op_type() == kind).unwrap().name().to_owned()
        };
        assert_ne!(named("Add"), named("Clip"));
    }
}
