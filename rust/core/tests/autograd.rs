//! The tape: gradients, in-place writes, views, saved tensors, depth.

use pyneuro_core::autograd;
use pyneuro_core::op::{Attrs, assign, call_inplace, call1};
use pyneuro_core::ops::{self, elementwise as e, reduce};
use pyneuro_core::{DType, Result, Tensor};

fn leaf(data: &[f64], shape: &[usize]) -> Tensor {
    let t = Tensor::from_slice(data, shape).expect("small");
    t.set_requires_grad(true).expect("a float leaf");
    t
}

fn sum(t: &Tensor) -> Tensor {
    reduce::sum(t, None, false).expect("sum")
}

fn backward(t: &Tensor) -> Result<()> {
    autograd::backward(std::slice::from_ref(t), &[], None, false, false)
}

fn grad(t: &Tensor) -> Vec<f64> {
    t.grad().expect("a gradient").to_vec().expect("f64")
}

#[test]
fn product_rule_with_broadcasting() {
    let (a, b) = (leaf(&[1.0, 2.0, 3.0, 4.0], &[2, 2]), leaf(&[10.0, 20.0], &[2]));
    backward(&sum(&ops::mul(&a, &b).expect("mul"))).expect("backward");
    assert_eq!(grad(&a), [10.0, 20.0, 10.0, 20.0]);
    assert_eq!(grad(&b), [4.0, 6.0]);
}

#[test]
fn second_order() {
    let x = leaf(&[3.0], &[]);
    let cube = ops::mul(&ops::mul(&x, &x).expect("mul"), &x).expect("mul");
    let first =
        autograd::grad(&[cube], std::slice::from_ref(&x), &[], true, true).expect("grad").remove(0).expect("a path");
    let second = autograd::grad(&[first], &[x], &[], false, false).expect("grad").remove(0).expect("a path");
    assert_eq!(second.item_f64().expect("item"), 18.0);
}

#[test]
fn a_write_through_a_view_reaches_the_base() {
    let x = leaf(&[1.0, 2.0, 3.0], &[3]);
    let base = ops::mul_scalar(&x, 2.0).expect("mul");
    let view = ops::slice(&base, 0, 1, 1, 1).expect("slice");
    let other = ops::slice(&base, 0, 0, 1, 2).expect("slice");
    call_inplace(&e::MUL, Attrs::None, &[&view, &Tensor::scalar(10.0, DType::F64).expect("scalar")]).expect("mul_");
    assert_eq!(base.to_vec::<f64>().expect("f64"), [2.0, 40.0, 6.0]);
    let total = ops::add(&sum(&base), &sum(&other)).expect("add");
    backward(&total).expect("backward");
    assert_eq!(grad(&x), [4.0, 40.0, 2.0]);
}

#[test]
fn assignment_cuts_the_old_history() {
    let (x, y) = (leaf(&[1.0, 2.0, 3.0], &[3]), leaf(&[5.0], &[1]));
    let base = ops::mul_scalar(&x, 1.0).expect("mul");
    assign(&ops::slice(&base, 0, 2, 1, 1).expect("slice"), &y).expect("assign");
    backward(&sum(&ops::mul(&base, &base).expect("mul"))).expect("backward");
    assert_eq!(grad(&x), [2.0, 4.0, 0.0]);
    assert_eq!(grad(&y), [10.0]);
}

#[test]
fn a_stale_saved_tensor_names_the_op() {
    let (x, w) = (leaf(&[1.0, 2.0], &[2]), leaf(&[3.0, 4.0], &[2]));
    let h = ops::mul_scalar(&x, 1.0).expect("mul");
    let y = ops::mul(&h, &w).expect("mul");
    call_inplace(&e::ADD, Attrs::None, &[&h, &Tensor::scalar(1.0, DType::F64).expect("scalar")]).expect("add_");
    let error = backward(&sum(&y)).expect_err("stale");
    assert!(error.message.starts_with("mul: a tensor needed for the gradient was modified in place"), "{error}");
}

#[test]
fn the_graph_is_freed_once() {
    let x = leaf(&[2.0], &[1]);
    let y = sum(&ops::mul(&x, &x).expect("mul"));
    backward(&y).expect("first");
    assert!(backward(&y).expect_err("second").message.contains("retain_graph=True"));
}

#[test]
fn leaves_are_not_written_while_recording() {
    let x = leaf(&[2.0], &[1]);
    let one = Tensor::scalar(1.0, DType::F64).expect("scalar");
    assert!(call_inplace(&e::ADD, Attrs::None, &[&x, &one]).is_err());
    autograd::no_grad(|| call_inplace(&e::ADD, Attrs::None, &[&x, &one])).expect("allowed without recording");
    assert_eq!(x.to_vec::<f64>().expect("f64"), [3.0]);
}

#[test]
fn equal_extremes_share_the_gradient() {
    let x = leaf(&[1.0, 3.0, 3.0], &[3]);
    backward(&reduce::reduce(&reduce::AMAX, &x, None, false).expect("amax")).expect("backward");
    assert_eq!(grad(&x), [0.0, 0.5, 0.5]);
}

#[test]
fn products_with_zeros_have_gradients() {
    let x = leaf(&[2.0, 0.0, 3.0], &[3]);
    backward(&reduce::prod(&x, None, false).expect("prod")).expect("backward");
    assert_eq!(grad(&x), [0.0, 6.0, 0.0]);
}

#[test]
fn a_deep_graph_does_not_overflow_the_stack() {
    let x = leaf(&[1.0], &[1]);
    let mut y = x.clone();
    for _ in 0..200_000 {
        y = call1(&e::NEG, Attrs::None, &[&y]).expect("neg");
    }
    backward(&y).expect("backward");
    assert_eq!(grad(&x), [1.0]);
    drop(y);
}
