//! Which buffer each tensor lies in.

use super::{Action, Held};

/// Buffers for tensors.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Memory {
    /// Tensor -> buffer.
    pub(super) places: Vec<usize>,
    /// The size of each buffer.
    pub(super) bytes: Vec<usize>,
}

/// Gives each tensor the free buffer that fits best, or that needs to grow least.
pub(super) fn assign<'a>(actions: impl Iterator<Item = &'a Action>) -> Memory {
    let actions: Vec<&Action> = actions.collect();
    let uses: Vec<(Option<Held>, Vec<usize>)> = actions
        .iter()
        .map(|action| {
            let inputs = action.inputs().iter().map(|input| input.tensor).collect();
            (action.output().copied(), inputs)
        })
        .collect();
    let last = last_uses(&uses);
    let mut memory = Memory { places: vec![0; last.len()], bytes: Vec::new() };
    let mut free: Vec<usize> = Vec::new();
    for (index, (output, inputs)) in uses.iter().enumerate() {
        if let Some(Held { tensor, extent }) = output {
            let needed = extent.elements();
            let waste = |buffer: &usize| {
                let size = memory.bytes[*buffer];
                (size < needed, size.abs_diff(needed))
            };
            let best = (0..free.len()).min_by_key(|&place| waste(&free[place]));
            let buffer = best.map_or(memory.bytes.len(), |place| free.swap_remove(place));
            if buffer == memory.bytes.len() {
                memory.bytes.push(0);
            }
            memory.bytes[buffer] = memory.bytes[buffer].max(needed);
            memory.places[*tensor] = buffer;
        }
        let done = output.iter().map(|held| held.tensor).chain(inputs.iter().copied());
        for tensor in done {
            let place = memory.places[tensor];
            if last[tensor] == index && !free.contains(&place) {
                free.push(place);
            }
        }
    }
    memory
}

/// Finds the last action that makes or reads each tensor.
fn last_uses(uses: &[(Option<Held>, Vec<usize>)]) -> Vec<usize> {
    let mut last = Vec::new();
    for (index, (output, inputs)) in uses.iter().enumerate() {
        for tensor in output.iter().map(|held| held.tensor).chain(inputs.iter().copied()) {
            if last.len() <= tensor {
                last.resize(tensor + 1, 0);
            }
            last[tensor] = index;
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use super::super::super::extent::Extent;
    use super::super::super::operators::table::Table;
    use super::*;

    fn held(tensor: usize, channels: usize) -> Held {
        Held { tensor, extent: Extent::of(&[1, channels]).unwrap() }
    }

    fn compute(inputs: &[usize], output: Held) -> Action {
        let operator = Box::new(Table::new(|step| step));
        let inputs = inputs.iter().map(|&tensor| held(tensor, 1)).collect();
        Action::Compute { operator, inputs, output }
    }

    #[test]
    fn a_chain_takes_turns_and_a_shortcut_is_kept() {
        let actions = [
            compute(&[], held(0, 10)),
            compute(&[0], held(1, 40)),
            compute(&[1], held(2, 30)),
            compute(&[2], held(3, 20)),
            compute(&[3, 0], held(4, 10)),
        ];
        let memory = assign(actions.iter());
        let Memory { places, bytes } = memory;
        assert_eq!(bytes.len(), 3);
        assert!(places[1..4].iter().all(|&place| place != places[0]), "{places:?}");
        assert_ne!(places[1], places[2]);
        assert_ne!(places[4], places[3], "an operator never writes what it reads");
        assert!(bytes.iter().sum::<usize>() <= 10 + 40 + 30);
    }
}
