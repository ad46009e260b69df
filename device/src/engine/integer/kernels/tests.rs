//! Every family against the definition, to the bit, at random shapes and at the ends of int8.

use fastrand::Rng;

use super::*;

/// How steps are drawn.
#[derive(Clone, Copy, Debug)]
enum Values {
    Any,
    Ends,
    Least,
    /// Half of the largest: neighbours come to as much as sums of two products in int16 bear.
    Half,
    /// Half of the largest at most.
    Small,
}

impl Values {
    fn draw(self, random: &mut Rng) -> i8 {
        match self {
            Self::Any => random.i8(..),
            Self::Ends => [i8::MIN, i8::MAX][random.usize(..2)],
            Self::Least => i8::MIN,
            Self::Half => [-64, 64][random.usize(..2)],
            Self::Small => random.i8(-64..=64),
        }
    }

    fn list(self, random: &mut Rng, length: usize) -> Vec<i8> {
        (0..length).map(|_| self.draw(random)).collect()
    }
}

/// Miri, which watches each access to memory, takes a thousand times as long.
const ROUNDS: usize = if cfg!(miri) { 25 } else { 400 };

const VALUES: [Values; 5] = [Values::Any, Values::Ends, Values::Least, Values::Half, Values::Small];

fn steps(random: &mut Rng) -> Steps {
    let (one, other) = (random.i8(..), random.i8(..));
    Steps { zero: random.i8(..), low: one.min(other), high: one.max(other) }
}

/// Scales from such that hardly move a step to such that throw most sums out of the range.
fn rescale(random: &mut Rng, outputs: usize) -> Rescale {
    let bias = (0..outputs).map(|_| random.i32(-100_000..100_000)).collect();
    let scale = |random: &mut Rng| 2.0_f32.powf(random.f32() * 24.0 - 20.0);
    Rescale { bias, scale: (0..outputs).map(|_| scale(random)).collect(), steps: steps(random) }
}

fn others() -> Vec<&'static dyn Kernels> {
    let mut families = families();
    families.pop();
    families
}

fn padded(mut values: Vec<i8>, random: &mut Rng) -> Vec<i8> {
    values.extend((0..SLACK).map(|_| random.i8(..)));
    values
}

#[test]
fn matrices_are_multiplied_to_the_bit() {
    let mut random = Rng::with_seed(1);
    for round in 0..ROUNDS {
        let values = VALUES[round % 5];
        let [count, outputs] = [random.usize(1..40), random.usize(1..70)];
        let depth = random.usize(1..200);
        let stride = depth + random.usize(..20);
        let data = values.list(&mut random, (count - 1) * stride + depth);
        let data = padded(data, &mut random);
        // Some groups of outputs may be of another kind than the others.
        let border = random.usize(..=outputs) * depth;
        let mut weights = VALUES[round / 5 % 5].list(&mut random, border);
        weights.extend(Values::Small.list(&mut random, outputs * depth - border));
        let rescale = rescale(&mut random, outputs);
        let rows = Rows { data: &data, stride, count, depth };
        let gap = random.usize(..9);
        let run = |kernels: &dyn Kernels| {
            let packed = kernels.pack(&weights, outputs);
            let mut output = vec![7; count * (outputs + gap)];
            let sink =
                Sink::Steps { output: &mut output, stride: outputs + gap, rescale: &rescale };
            multiply(kernels, rows, &packed, sink, &mut Vec::new());
            let mut sums = vec![7; count * outputs];
            let sink = Sink::Sums { output: &mut sums, bias: &rescale.bias };
            multiply(kernels, rows, &packed, sink, &mut Vec::new());
            (output, sums)
        };
        let expected = run(&Reference);
        for family in others() {
            let case = format!("{} {count}x{depth}x{outputs} {values:?}", family.name());
            assert!(run(family) == expected, "{case}");
        }
    }
}

#[test]
fn windows_are_moved_to_the_bit() {
    let mut random = Rng::with_seed(2);
    for round in 0..ROUNDS {
        let values = VALUES[round % 5];
        let channels = [random.usize(1..60), 8 * random.usize(1..20)][round % 2];
        let kernel = [[3, 3], [5, 5], [1, 3], [2, 2], [7, 7]][random.usize(..5)];
        let stride = [random.usize(1..3), random.usize(1..3)];
        let dilation = [random.usize(1..3), random.usize(1..3)];
        let places = [random.usize(1..5), random.usize(1..9)];
        let reach = |axis: usize| {
            (places[axis] - 1) * stride[axis] + (kernel[axis] - 1) * dilation[axis] + 1
        };
        let row_stride = (reach(1) + random.usize(..3)) * channels;
        let data = values.list(&mut random, reach(0) * row_stride);
        let data = padded(data, &mut random);
        let taps = kernel[0] * kernel[1];
        let weights = VALUES[round / 5 % 5].list(&mut random, channels * taps);
        let rescale = rescale(&mut random, channels);
        let window = Window { data: &data, row_stride, channels, kernel, stride, dilation, places };
        let run = |kernels: &dyn Kernels| {
            let packed = kernels.pack_depthwise(&weights, channels);
            let mut output = vec![7; places[0] * places[1] * channels];
            depthwise(kernels, window, &packed, &rescale, &mut output);
            output
        };
        let expected = run(&Reference);
        for family in others() {
            let case = format!("{} {kernel:?} {stride:?} {channels} {values:?}", family.name());
            assert!(run(family) == expected, "{case}");
        }
    }
}

#[test]
fn values_one_by_one_are_computed_to_the_bit() {
    let mut random = Rng::with_seed(3);
    for round in 0..ROUNDS {
        let length = random.usize(1..300);
        let values = VALUES[round % 5];
        let [one, other] = [(); 2].map(|()| values.list(&mut random, length));
        let scale = |random: &mut Rng| 2.0_f32.powf(random.f32() * 16.0 - 12.0);
        let zeros = [random.i8(..), random.i8(..)];
        let (scales, steps) = ([scale(&mut random), scale(&mut random)], steps(&mut random));
        let addition = Addition { zeros, scales, scale: scale(&mut random), steps };
        let product = Multiplication { zeros, scale: scales[0] / 64.0, steps };
        let floats: Vec<f32> = (0..length)
            .map(|index| match index % 17 {
                0 => f32::NAN,
                1 => f32::INFINITY,
                _ => (random.f32() - 0.5) * 300.0 * scales[1],
            })
            .collect();
        let run = |kernels: &dyn Kernels| {
            let mut outputs = [(); 4].map(|()| vec![0; length]);
            kernels.add(&addition, [&one, &other], &mut outputs[0]);
            kernels.product(&product, [&one, &other], &mut outputs[1]);
            outputs[2].copy_from_slice(&one);
            kernels.maximum(&other, &mut outputs[2]);
            kernels.quantize(&floats, scales[1], steps, &mut outputs[3]);
            let mut sums = vec![5; length];
            kernels.accumulate(&one, &mut sums);
            (outputs, sums)
        };
        let expected = run(&Reference);
        for family in others() {
            assert!(run(family) == expected, "{} {length} {addition:?}", family.name());
        }
    }
}

#[test]
#[should_panic(expected = "the rows end too early")]
fn short_slices_are_refused() {
    let packed = Reference.pack(&[1; 6], 2);
    let rows = Rows { data: &[0; 6 + SLACK - 1], stride: 3, count: 2, depth: 3 };
    let sink = Sink::Sums { output: &mut [0; 4], bias: &[0; 2] };
    multiply(&Reference, rows, &packed, sink, &mut Vec::new());
}
