//! Which instruction set the kernels use: chosen once, from what the CPU offers and what `PYNEURO_ISA` asks for.

use std::sync::atomic::{AtomicU8, Ordering};

/// An instruction set for which every vectorised kernel is compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Isa {
    /// One lane, plain Rust: the oracle of the others, and the fallback on unknown machines.
    Scalar = 1,
    /// x86-64 with AVX2, FMA, F16C and BMI: 256-bit vectors.
    Avx2 = 2,
    /// x86-64 with AVX-512 F, BW, DQ, VL: 512-bit vectors and masks.
    Avx512 = 3,
    /// AArch64 Advanced SIMD: 128-bit vectors.
    Neon = 4,
}

impl Isa {
    /// The name that `PYNEURO_ISA` takes.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Scalar => "scalar",
            Isa::Avx2 => "avx2",
            Isa::Avx512 => "avx512",
            Isa::Neon => "neon",
        }
    }

    /// The instruction set called `name`, if there is one.
    pub fn from_name(name: &str) -> Option<Isa> {
        [Isa::Scalar, Isa::Avx2, Isa::Avx512, Isa::Neon].into_iter().find(|isa| isa.name() == name)
    }

    /// Whether this CPU (and operating system) can run it.
    pub fn is_available(self) -> bool {
        match self {
            Isa::Scalar => true,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => {
                is_x86_feature_detected!("avx2")
                    && is_x86_feature_detected!("fma")
                    && is_x86_feature_detected!("f16c")
                    && is_x86_feature_detected!("bmi1")
                    && is_x86_feature_detected!("bmi2")
            }
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => {
                Isa::Avx2.is_available()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
            }
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => true, // part of the base architecture
            #[allow(unreachable_patterns)] // which arms are left depends on the target
            _ => false,
        }
    }

    /// Every instruction set this CPU can run, the plainest first.
    pub fn available() -> impl Iterator<Item = Isa> {
        [Isa::Scalar, Isa::Neon, Isa::Avx2, Isa::Avx512].into_iter().filter(|isa| isa.is_available())
    }

    fn best() -> Isa {
        Isa::available().last().unwrap_or(Isa::Scalar)
    }
}

/// 0 until the choice has been made.
static CHOSEN: AtomicU8 = AtomicU8::new(0);

/// Chooses the instruction set, and says why not when `PYNEURO_ISA` names one that does not exist or cannot run here.
///
/// A forced choice never falls back silently: a benchmark or a bug report would then speak about another kernel.
pub fn init() -> Result<Isa, String> {
    let isa = match std::env::var("PYNEURO_ISA") {
        Err(_) => Isa::best(),
        Ok(name) if name.is_empty() => Isa::best(),
        Ok(name) => {
            let isa = Isa::from_name(&name)
                .ok_or_else(|| format!("PYNEURO_ISA: expected scalar, avx2, avx512 or neon, got {name:?}"))?;
            if !isa.is_available() {
                let names: Vec<_> = Isa::available().map(Isa::name).collect();
                return Err(format!("PYNEURO_ISA: this CPU cannot run {name:?}, only {}", names.join(", ")));
            }
            isa
        }
    };
    CHOSEN.store(isa as u8, Ordering::Relaxed);
    Ok(isa)
}

/// The instruction set in use.
#[inline]
pub fn isa() -> Isa {
    #[cfg(test)]
    if let Some(isa) = test_override::get() {
        return isa;
    }
    from_code(CHOSEN.load(Ordering::Relaxed)).unwrap_or_else(choose)
}

#[inline]
fn from_code(code: u8) -> Option<Isa> {
    match code {
        1 => Some(Isa::Scalar),
        2 => Some(Isa::Avx2),
        3 => Some(Isa::Avx512),
        4 => Some(Isa::Neon),
        _ => None,
    }
}

/// The first call when nobody has called [`init`]: a wrong `PYNEURO_ISA` cannot be reported from here, so it is
/// left to `init` and the best set is used.
#[cold]
fn choose() -> Isa {
    init().unwrap_or_else(|_| {
        let isa = Isa::best();
        CHOSEN.store(isa as u8, Ordering::Relaxed);
        isa
    })
}

/// Lets a test run a kernel under each instruction set in turn, on the calling thread and in the parallel regions that
/// it starts.
#[cfg(test)]
pub(crate) mod test_override {
    use super::Isa;
    use std::cell::Cell;

    thread_local!(static FORCED: Cell<Option<Isa>> = const { Cell::new(None) });

    pub(super) fn get() -> Option<Isa> {
        FORCED.with(Cell::get)
    }

    /// `f`, under the instruction set that is forced on the calling thread, wherever it runs.
    pub(crate) fn inherited<'a>(f: &'a (dyn Fn(usize) + Sync)) -> impl Fn(usize) + Sync + 'a {
        let isa = get();
        move |index| {
            let own = FORCED.with(|forced| forced.replace(isa));
            f(index);
            FORCED.with(|forced| forced.set(own));
        }
    }

    /// Runs `f` once under every instruction set that this CPU has.
    pub(crate) fn for_each_isa(mut f: impl FnMut(Isa)) {
        for isa in Isa::available() {
            FORCED.with(|forced| forced.set(Some(isa)));
            f(isa);
        }
        FORCED.with(|forced| forced.set(None));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_codes_round_trip() {
        for isa in [Isa::Scalar, Isa::Avx2, Isa::Avx512, Isa::Neon] {
            assert_eq!(Isa::from_name(isa.name()), Some(isa));
            assert_eq!(from_code(isa as u8), Some(isa));
        }
        assert_eq!(Isa::from_name("sse9"), None);
        assert_eq!(from_code(0), None);
    }

    #[test]
    fn the_choice_can_run_here() {
        assert!(isa().is_available());
        assert_eq!(Isa::available().next(), Some(Isa::Scalar));
    }
}
