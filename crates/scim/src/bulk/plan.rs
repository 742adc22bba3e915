//! In which order.

use std::collections::HashMap;

use super::{Item, Method, Target, refs};

/// One thing to do. Operations go by their position in the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Run the operation; a POST without what refers to the operations in `open` (sorted), which run later.
    Run { operation: usize, open: Vec<usize> },
    /// Add to what the POST created what its `Run` left out.
    Complete { operation: usize },
}

/// Which POST creates what a bulkId stands for.
pub(super) fn creators(items: &[Item]) -> HashMap<String, usize> {
    let mut creators = HashMap::new();
    for (index, item) in items.iter().enumerate() {
        if let (Some(Method::Post), Some(bulk_id)) = (item.method, &item.bulk_id) {
            creators.insert(bulk_id.clone(), index);
        }
    }
    creators
}

/// Every operation once, in an order that knows every id that can be known when it is needed, as near to the request's
/// as that allows. Time and memory are linear in the number of operations and references.
pub(super) fn plan(items: &[Item], creators: &HashMap<String, usize>) -> Vec<Step> {
    let needs: Vec<Vec<usize>> = items.iter().map(|item| needs(item, creators)).collect();
    let (order, mut open) = order(&needs);
    let mut position = vec![0; items.len()];
    for (at, operation) in order.iter().enumerate() {
        position[*operation] = at;
    }
    // What is left open is completed right after the last operation that it waits for.
    let mut completed_at: Vec<Vec<usize>> = vec![Vec::new(); items.len()];
    for operation in &order {
        if let Some(last) = open[*operation].iter().map(|needed| position[*needed]).max() {
            completed_at[last].push(*operation);
        }
    }
    let mut steps = Vec::with_capacity(order.len());
    for (at, operation) in order.into_iter().enumerate() {
        steps.push(Step::Run { operation, open: std::mem::take(&mut open[operation]) });
        for operation in completed_at[at].drain(..) {
            steps.push(Step::Complete { operation });
        }
    }
    steps
}

/// The operations that an operation refers to, each once, in the order of the request.
fn needs(item: &Item, creators: &HashMap<String, usize>) -> Vec<usize> {
    let Ok(operation) = &item.operation else { return Vec::new() };
    let mut needs = Vec::new();
    if let Some(Target::BulkId(bulk_id)) = &operation.target {
        needs.extend(creators.get(bulk_id));
    }
    refs::each(&operation.data, &mut |bulk_id| needs.extend(creators.get(bulk_id)));
    needs.sort_unstable();
    needs.dedup();
    needs
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    New,
    Waiting,
    Ordered,
}

/// Depth first, without recursion: a chain may be as long as the request. Answers with the order, and for each operation
/// with the ones it needs that come later or are itself; only POSTs have such, since only POSTs are needed.
fn order(needs: &[Vec<usize>]) -> (Vec<usize>, Vec<Vec<usize>>) {
    let mut state = vec![State::New; needs.len()];
    let mut open = vec![Vec::new(); needs.len()];
    let mut order = Vec::with_capacity(needs.len());
    // An operation, and how many of its needs were looked at.
    let mut stack: Vec<(usize, usize)> = Vec::new();
    for root in 0..needs.len() {
        if state[root] == State::New {
            state[root] = State::Waiting;
            stack.push((root, 0));
        }
        while let Some((operation, looked_at)) = stack.last_mut() {
            let operation = *operation;
            let Some(needed) = needs[operation].get(*looked_at).copied() else {
                state[operation] = State::Ordered;
                order.push(operation);
                stack.pop();
                continue;
            };
            *looked_at += 1;
            match state[needed] {
                State::New => {
                    state[needed] = State::Waiting;
                    stack.push((needed, 0));
                }
                State::Waiting => open[operation].push(needed),
                State::Ordered => {}
            }
        }
    }
    (order, open)
}
