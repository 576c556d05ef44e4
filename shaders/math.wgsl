// Mathematical functions whose WGSL builtins are too loose, or undefined at the edges, to be used directly.
// Errors are given against the exact value, in float32 units in the last place (ulp), on normal results.

#import common

// Compilers may reassociate float arithmetic (Mesa does), which undoes the usual tricks with a number in two parts.  So
// what must be exact is done in integers, or hidden from the compiler by `opaque`.

// v itself, for any x that is not infinite: the condition never holds, but no compiler knows.
fn opaque(v: f32, x: f32) -> f32 {
    return bitcast<f32>(bitcast<u32>(v) ^ select(0u, 1u, abs(x) > 3.4028234e38));
}

// The upper 12 bits of v's significand: products of two such numbers are exact.
fn upper(v: f32) -> f32 {
    return bitcast<f32>(bitcast<u32>(v) & 0xfffff000u);
}

const LN2_HI: f32 = 0.693145751953125;   // 16 bits: its product with an exponent is exact
const LN2_LO: f32 = 1.4286068203e-6;

// 2^n for n in [-252, 252]: two factors, so that neither overflows nor becomes denormal too early.
fn scale_by_power(x: f32, n: i32) -> f32 {
    let half = n / 2;
    let rest = n - half;
    return x * bitcast<f32>(u32(half + 127) << 23u) * bitcast<f32>(u32(rest + 127) << 23u);
}

// exp(x), 2 ulp: the builtin may be off by 3 + 2|x| ulp.
fn exp_(x: f32) -> f32 {
    if isnan_(x) { return x; }
    if x > 88.72284 { return infinity(); }
    if x < -103.97208 { return 0.0; }
    let n = round(x * 1.4426950408889634);
    // x - n log(2) in steps of 2^-24; 11629080 is log(2) in those steps, and the last term what that leaves out.
    let steps = i32(round(x * 16777216.0)) - i32(n) * 11629080;
    let r = f32(steps) * 5.9604645e-8 - n * -1.90465430e-09;
    var q = 1.9875691500e-4;
    q = fma(q, r, 1.3981999507e-3);
    q = fma(q, r, 8.3334519073e-3);
    q = fma(q, r, 4.1665795894e-2);
    q = fma(q, r, 1.6666665459e-1);
    q = fma(q, r, 5.0000001201e-1);
    return scale_by_power(fma(q, r * r, r) + 1.0, i32(n));
}

// exp(x) - 1 without cancellation near 0.
fn expm1_(x: f32) -> f32 {
    if abs(x) > 0.34657359 { return exp_(x) - 1.0; }
    var q = 1.9875691500e-4;
    q = fma(q, x, 1.3981999507e-3);
    q = fma(q, x, 8.3334519073e-3);
    q = fma(q, x, 4.1665795894e-2);
    q = fma(q, x, 1.6666665459e-1);
    q = fma(q, x, 5.0000001201e-1);
    return fma(q, x * x, x);
}

// log(1 + f) for 1 + f in [sqrt(1/2), sqrt(2)], to which the exponent's part may be added.
fn log_polynomial(f: f32) -> f32 {
    var q = 7.0376836292e-2;
    q = fma(q, f, -1.1514610310e-1);
    q = fma(q, f, 1.1676998740e-1);
    q = fma(q, f, -1.2420140846e-1);
    q = fma(q, f, 1.4249322787e-1);
    q = fma(q, f, -1.6668057665e-1);
    q = fma(q, f, 2.0000714765e-1);
    q = fma(q, f, -2.4999993993e-1);
    q = fma(q, f, 3.3333331174e-1);
    return q * f * f * f;
}

// The exponent and the mantissa in [sqrt(1/2), sqrt(2)) of a positive finite x.
struct Split { exponent: f32, mantissa: f32 }

fn split_float(x: f32) -> Split {
    var bits = bitcast<u32>(x);
    var exponent = 0;
    if bits < 0x00800000u {  // denormal: drivers may flush it in arithmetic, so count in integers
        let shift = countLeadingZeros(bits) - 8u;
        bits = bits << shift;
        exponent = -i32(shift);
    }
    exponent += i32(bits >> 23u) - 127;
    var mantissa = bitcast<f32>((bits & 0x007fffffu) | 0x3f800000u);
    if mantissa > 1.4142135 {
        mantissa *= 0.5;
        exponent += 1;
    }
    return Split(f32(exponent), mantissa);
}

// log(x), 2 ulp: the builtin's error is absolute near 1.
fn log_(x: f32) -> f32 {
    let bits = bitcast<u32>(x);
    if isnan_(x) { return x; }
    if (bits & 0x7fffffffu) == 0u { return -infinity(); }
    if (bits >> 31u) == 1u { return not_a_number(); }
    if bits == 0x7f800000u { return x; }
    let s = split_float(x);
    let f = s.mantissa - 1.0;
    let y = fma(s.exponent, LN2_LO, log_polynomial(f)) - 0.5 * f * f;
    return fma(s.exponent, LN2_HI, f + y);
}

fn log2_(x: f32) -> f32 {
    let bits = bitcast<u32>(x);
    if (bits & 0x7fffffffu) == 0u || (bits >> 31u) == 1u || bits >= 0x7f800000u { return log_(x); }
    let s = split_float(x);
    let f = s.mantissa - 1.0;
    let y = log_polynomial(f) - 0.5 * f * f;
    // log2(e) = 1 + 0.4427: the exponent is added last, so powers of two are exact.
    return s.exponent + ((f + y) * 0.44269504088896341 + (y + f));
}

fn log10_(x: f32) -> f32 {
    return log_(x) * 0.43429448190325182;
}

// log(1 + x) without losing a small x.
fn log1p_(x: f32) -> f32 {
    if isnan_(x) || x == 0.0 { return x; }
    if x < -1.0 { return not_a_number(); }
    if abs(x) < 0.29 { return log_polynomial(x) - 0.5 * x * x + x; }
    let u = 1.0 + x;
    if isinf_(u) || u == 0.0 { return log_(u); }
    return log_(u) + (x - (u - 1.0)) / u;
}

// Square roots of negative numbers are NaN everywhere, not only where the driver says so.
fn sqrt_(x: f32) -> f32 {
    if x < 0.0 { return not_a_number(); }
    return sqrt(x);
}

fn exp2_(x: f32) -> f32 {
    if isnan_(x) { return x; }
    if x >= 128.0 { return infinity(); }
    if x < -150.0 { return 0.0; }
    let n = round(x);
    let y = exp_((x - n) * 0.69314718055994531);  // a small argument, so no error of x * log(2) grows
    return scale_by_power(y, i32(n));
}

fn sign_(x: f32) -> f32 {
    if isnan_(x) { return x; }
    return sign(x);
}

fn relu_(x: f32) -> f32 {
    return maximum_(x, 0.0);
}

// NaN stays, as in torch.
fn clamp_(x: f32, low: f32, high: f32) -> f32 {
    return minimum_(maximum_(x, low), high);
}

// tanh(x), 3 ulp: the builtin overflows on some drivers beyond |x| = 44.
fn tanh_(x: f32) -> f32 {
    let a = abs(x);
    if isnan_(x) { return x; }
    if a > 9.1 { return sign(x); }
    if a < 0.625 {
        let z = x * x;
        var q = -5.70498872745e-3;
        q = fma(q, z, 2.06390887954e-2);
        q = fma(q, z, -5.37397155531e-2);
        q = fma(q, z, 1.33314422036e-1);
        q = fma(q, z, -3.33332819422e-1);
        return fma(q * z, x, x);
    }
    return sign(x) * (1.0 - 2.0 / (exp_(2.0 * a) + 1.0));
}

fn sigmoid_(x: f32) -> f32 {
    let e = exp_(-abs(x));  // never overflows
    return select(1.0, e, x < 0.0) / (1.0 + e);
}

// log(1 + exp(x))
fn softplus_(x: f32) -> f32 {
    if isnan_(x) { return x; }
    return max(x, 0.0) + log1p_(exp_(-abs(x)));
}

// log(exp(x) + exp(y))
fn logaddexp_(x: f32, y: f32) -> f32 {
    let high = maximum_(x, y);
    if isinf_(high) || isnan_(high) { return high; }
    return high + log1p_(exp_(minimum_(x, y) - high));
}

fn sinh_(x: f32) -> f32 {
    let a = abs(x);
    if a < 1.0 {
        let z = x * x;
        var q = 2.03721912945e-4;
        q = fma(q, z, 8.33028376239e-3);
        q = fma(q, z, 1.66667160211e-1);
        return fma(q * z, x, x);
    }
    let e = exp_(a * 0.5);  // its square, halved, overflows only where sinh does
    return select(-1.0, 1.0, x > 0.0) * (0.5 * e * e - select(0.0, 0.5 / e / e, a < 20.0));
}

fn cosh_(x: f32) -> f32 {
    let a = abs(x);
    let e = exp_(a * 0.5);
    return 0.5 * e * e + select(0.0, 0.5 / e / e, a < 20.0);
}

fn asinh_(x: f32) -> f32 {
    let a = abs(x);
    if !isfinite_(x) { return x; }
    var y: f32;
    if a > 1.0e9 {
        y = log_(a) + 0.69314718055994531;
    } else {
        y = log1p_(a + a * a / (1.0 + sqrt(fma(a, a, 1.0))));
    }
    return select(y, -y, x < 0.0);
}

fn acosh_(x: f32) -> f32 {
    if isnan_(x) || x < 1.0 { return not_a_number(); }
    if x > 1.0e9 { return log_(x) + 0.69314718055994531; }
    let t = x - 1.0;
    return log1p_(t + sqrt(fma(t, t, 2.0 * t)));
}

fn atanh_(x: f32) -> f32 {
    let a = abs(x);
    if isnan_(x) || a > 1.0 { return not_a_number(); }
    if a == 1.0 { return select(infinity(), -infinity(), x < 0.0); }
    let y = 0.5 * log1p_(2.0 * a / (1.0 - a));
    return select(y, -y, x < 0.0);
}

// |x| reduced by multiples of pi/2: the quadrant and the rest in [-pi/4, pi/4].  After Payne and Hanek, in integers:
// x times as many digits of 2/pi as its exponent calls for, so it is exact for every x.
struct Angle { quadrant: u32, rest: f32 }

// The upper and lower words of a * b.
fn multiply_wide(a: u32, b: u32) -> vec2<u32> {
    let low = (a & 0xffffu) * (b & 0xffffu);
    let mid1 = (a >> 16u) * (b & 0xffffu) + (low >> 16u);
    let mid2 = (a & 0xffffu) * (b >> 16u) + (mid1 & 0xffffu);
    return vec2<u32>((a >> 16u) * (b >> 16u) + (mid1 >> 16u) + (mid2 >> 16u), (mid2 << 16u) | (low & 0xffffu));
}

// Binary digits of 2/pi, 32 at a time, after 64 zeros.
fn two_over_pi(i: u32) -> u32 {
    switch i {
        case 2u: { return 0xa2f9836eu; }
        case 3u: { return 0x4e441529u; }
        case 4u: { return 0xfc2757d1u; }
        case 5u: { return 0xf534ddc0u; }
        case 6u: { return 0xdb629599u; }
        case 7u: { return 0x3c439041u; }
        default: { return 0u; }
    }
}

fn reduce_angle(x: f32) -> Angle {
    let a = abs(x);
    if a < 0.78539816 { return Angle(0u, a); }
    let bits = bitcast<u32>(a);
    let significand = (bits << 8u) | 0x80000000u;
    // With the digits from here on, the 64-bit product below ends at 2^-62; higher ones give multiples of 4 quadrants.
    let shift = (bits >> 23u) - 96u;
    let word = shift / 32u;
    let bit = shift % 32u;
    var high = two_over_pi(word);
    var mid = two_over_pi(word + 1u);
    var low = two_over_pi(word + 2u);
    if bit != 0u {
        high = (high << bit) | (mid >> (32u - bit));
        mid = (mid << bit) | (low >> (32u - bit));
        low = (low << bit) | (two_over_pi(word + 3u) >> (32u - bit));
    }
    let carry = multiply_wide(significand, low).x;
    let p = multiply_wide(significand, mid);
    let product_low = p.y + carry;
    let product_high = significand * high + p.x + select(0u, 1u, product_low < carry);
    // Two bits of quadrant, then the fraction of a quadrant; one of a half or more counts as negative.
    let fraction = bitcast<i32>((product_high << 2u) | (product_low >> 30u));
    let quadrant = (product_high >> 30u) + select(0u, 1u, fraction < 0);
    let rest = f32(fraction) + f32(product_low << 2u) * 2.3283064e-10;
    return Angle(quadrant, rest * 3.6572951e-10);
}

fn sin_polynomial(r: f32) -> f32 {
    let z = r * r;
    var q = -1.9515295891e-4;
    q = fma(q, z, 8.3321608736e-3);
    q = fma(q, z, -1.6666654611e-1);
    return fma(q * z, r, r);
}

fn cos_polynomial(r: f32) -> f32 {
    let z = r * r;
    var q = 2.443315711809948e-5;
    q = fma(q, z, -1.388731625493765e-3);
    q = fma(q, z, 4.166664568298827e-2);
    return fma(q * z, z, fma(-0.5, z, 1.0));
}

// sin and cos, 2 ulp: the builtins promise only an absolute error of 2^-11.
fn sin_(x: f32) -> f32 {
    if !isfinite_(x) { return not_a_number(); }
    let a = reduce_angle(x);
    let y = select(sin_polynomial(a.rest), cos_polynomial(a.rest), (a.quadrant & 1u) != 0u);
    return select(y, -y, ((a.quadrant & 2u) != 0u) != (bitcast<i32>(x) < 0));
}

fn cos_(x: f32) -> f32 {
    if !isfinite_(x) { return not_a_number(); }
    let a = reduce_angle(x);
    let y = select(cos_polynomial(a.rest), sin_polynomial(a.rest), (a.quadrant & 1u) != 0u);
    return select(y, -y, ((a.quadrant + 1u) & 2u) != 0u);
}

fn tan_(x: f32) -> f32 {
    return sin_(x) / cos_(x);
}

// atan on [0, inf), 2 ulp.
fn atan_positive(a: f32) -> f32 {
    var base = 0.0;
    var t = a;
    if a > 2.414213562373095 {
        base = 1.5707963267948966;
        t = -1.0 / a;
    } else if a > 0.4142135623730950 {
        base = 0.7853981633974483;
        t = (a - 1.0) / (a + 1.0);
    }
    let z = t * t;
    var q = 8.05374449538e-2;
    q = fma(q, z, -1.38776856032e-1);
    q = fma(q, z, 1.99777106478e-1);
    q = fma(q, z, -3.33329491539e-1);
    return base + fma(q * z, t, t);
}

fn atan_(x: f32) -> f32 {
    if isnan_(x) { return x; }
    let y = atan_positive(abs(x));
    return select(y, -y, x < 0.0);
}

fn atan2_(y: f32, x: f32) -> f32 {
    if isnan_(x) || isnan_(y) { return not_a_number(); }
    let x_negative = (bitcast<u32>(x) >> 31u) == 1u;
    let ay = abs(y);
    let ax = abs(x);
    var angle: f32;
    if ay == 0.0 {
        angle = 0.0;
    } else if ax == 0.0 {
        angle = 1.5707963267948966;
    } else if isinf_(ay) && isinf_(ax) {
        angle = 0.7853981633974483;
    } else {
        angle = atan_positive(ay / ax);
    }
    if x_negative { angle = 3.1415926535897931 - angle; }
    return select(angle, -angle, (bitcast<u32>(y) >> 31u) == 1u);
}

// asin on [0, 1/2], 2 ulp.
fn asin_small(a: f32) -> f32 {
    let z = a * a;
    var q = 4.2163199048e-2;
    q = fma(q, z, 2.4181311049e-2);
    q = fma(q, z, 4.5470025998e-2);
    q = fma(q, z, 7.4953002686e-2);
    q = fma(q, z, 1.6666752422e-1);
    return fma(q * z, a, a);
}

fn asin_(x: f32) -> f32 {
    let a = abs(x);
    if isnan_(x) || a > 1.0 { return not_a_number(); }
    var y: f32;
    if a > 0.5 {
        y = 1.5707963267948966 - 2.0 * asin_small(sqrt(0.5 * (1.0 - a)));
    } else {
        y = asin_small(a);
    }
    return select(y, -y, x < 0.0);
}

fn acos_(x: f32) -> f32 {
    let a = abs(x);
    if isnan_(x) || a > 1.0 { return not_a_number(); }
    if x > 0.5 { return 2.0 * asin_small(sqrt(0.5 * (1.0 - x))); }
    if x < -0.5 { return 3.1415926535897931 - 2.0 * asin_small(sqrt(0.5 * (1.0 + x))); }
    return 1.5707963267948966 - select(asin_small(a), -asin_small(a), x < 0.0);
}

// The error function: a series-like polynomial below 1, exp(-x^2) times a polynomial above.
fn erfc_tail(a: f32) -> f32 {
    // Abramowitz-Stegun form with the coefficients of Numerical Recipes' erfcc extended Chebyshev fit:
    // relative error below 1.2e-7 for every a >= 0.
    let t = 1.0 / (1.0 + 0.5 * a);
    var q = 0.17087277;
    q = fma(q, t, -0.82215223);
    q = fma(q, t, 1.48851587);
    q = fma(q, t, -1.13520398);
    q = fma(q, t, 0.27886807);
    q = fma(q, t, -0.18628806);
    q = fma(q, t, 0.09678418);
    q = fma(q, t, 0.37409196);
    q = fma(q, t, 1.00002368);
    q = fma(q, t, -1.26551223);
    // -a*a is split so that its rounding does not grow with a.
    let high = bitcast<f32>(bitcast<u32>(a) & 0xfffff000u);
    return t * exp_(-high * high) * exp_(fma(high - a, high + a, q));
}

fn erf_(x: f32) -> f32 {
    let a = abs(x);
    if isnan_(x) { return x; }
    if a < 1.0 {
        let z = x * x;
        var q = 7.853861353153693e-5;
        q = fma(q, z, -8.010193625184903e-4);
        q = fma(q, z, 5.188327685732524e-3);
        q = fma(q, z, -2.685381193529856e-2);
        q = fma(q, z, 1.128358514861418e-1);
        q = fma(q, z, -3.761262582423300e-1);
        q = fma(q, z, 1.128379165726710);
        return x * q;
    }
    if a > 4.0 { return sign(x); }
    return sign(x) * (1.0 - erfc_tail(a));
}

fn erfc_(x: f32) -> f32 {
    let a = abs(x);
    if isnan_(x) { return x; }
    if a < 0.5 { return 1.0 - erf_(x); }
    if a > 10.1 { return select(0.0, 2.0, x < 0.0); }
    let y = erfc_tail(a);
    return select(y, 2.0 - y, x < 0.0);
}

fn is_odd_integer(y: f32) -> bool {
    let a = abs(y);
    return a < 16777216.0 && floor(a) == a && (u32(a) & 1u) == 1u;
}

fn is_integer(y: f32) -> bool {
    return floor(y) == y;
}

// x ** y with IEEE's special cases; WGSL's pow is undefined for x < 0.
fn pow_(x: f32, y: f32) -> f32 {
    if y == 0.0 || x == 1.0 { return 1.0; }
    if isnan_(x) || isnan_(y) { return not_a_number(); }
    let a = abs(x);
    if y == 1.0 { return x; }
    if y == 2.0 { return x * x; }
    if y == 0.5 && !isinf_(x) { return sqrt(x) + 0.0; }
    if y == -1.0 { return 1.0 / x; }
    let negative = (bitcast<u32>(x) >> 31u) == 1u;
    if isinf_(y) {
        if a == 1.0 { return 1.0; }
        return select(0.0, infinity(), (a > 1.0) == (y > 0.0));
    }
    let flip = negative && is_odd_integer(y);
    var r: f32;
    if a == 0.0 {
        r = select(0.0, infinity(), y < 0.0);
    } else if isinf_(a) {
        r = select(infinity(), 0.0, y < 0.0);
    } else if negative && !is_integer(y) {
        return not_a_number();
    } else if is_integer(y) && abs(y) <= 32.0 {
        // Repeated squaring: exact where the result is.
        var n = u32(abs(y));
        var base = a;
        r = 1.0;
        for (var i = 0; i < 6; i++) {
            if (n & 1u) == 1u { r *= base; }
            base *= base;
            n = n >> 1u;
        }
        if y < 0.0 { r = 1.0 / r; }
    } else {
        r = pow_positive(a, y);
    }
    return select(r, -r, flip);
}

// a ** y for finite a > 0: the logarithm in two floats, so the error does not grow with the exponent.
fn pow_positive(a: f32, y: f32) -> f32 {
    let s = split_float(a);
    let f = s.mantissa - 1.0;
    // log(1 + f) = f - f^2/2 + tail, with the square in an exact part and the rest.
    let f_upper = upper(f);
    let half_square = 0.5 * f_upper * f_upper;
    let sum = opaque(f - half_square, a);
    let lost = opaque(f - sum, a) - half_square;
    let tail = log_polynomial(f) - 0.5 * (f - f_upper) * (f + f_upper) + lost;
    let scaled = s.exponent * LN2_HI;  // exact
    let high = opaque(scaled + sum, a);
    let part = opaque(high - scaled, a);
    let low = (sum - part) + fma(s.exponent, LN2_LO, tail);
    // The product with y, likewise.
    let high_upper = upper(high);
    let y_upper = upper(y);
    let product = high_upper * y_upper;
    let rest = (high - high_upper) * y + high_upper * (y - y_upper) + low * y;
    if product + rest > 88.8 { return infinity(); }
    if product + rest < -104.5 { return 0.0; }
    let base = exp_(product);
    return base + base * expm1_(rest);
}

// A zero divisor cannot raise here, so it leaves a note, like a bad index (see fault.wgsl), and gives 0.
fn divided_by_zero() {
#ifdef FAULT
    fault[0] = i32(p.op);
    fault[2] = -1;
#endif
}

// Integers.  Division rounds down, and the remainder has the sign of the divisor.
fn floor_div_int(a: i32, b: i32) -> i32 {
    if b == 0 { divided_by_zero(); return 0; }
    if b == -1 { return -a; }
    let q = a / b;
    return select(q, q - 1, (a % b != 0) && ((a < 0) != (b < 0)));
}

fn modulo_int(a: i32, b: i32) -> i32 {
    if b == 0 { divided_by_zero(); }
    if b == 0 || b == -1 { return 0; }
    let r = a % b;
    return select(r, r + b, r != 0 && ((r < 0) != (b < 0)));
}

// Toward zero, with the sign of the dividend.
fn rem_int(a: i32, b: i32) -> i32 {
    if b == 0 { divided_by_zero(); }
    if b == 0 || b == -1 { return 0; }
    return a % b;
}

// Shifts by 32 or more move every bit out; WGSL would take the amount modulo 32.
fn shl_int(a: i32, b: i32) -> i32 {
    if b < 0 || b > 31 { return 0; }
    return a << u32(b);
}

fn shr_int(a: i32, b: i32) -> i32 {
    return a >> u32(select(b, 31, b < 0 || b > 31));
}

fn clamp_int(x: i32, low: i32, high: i32) -> i32 {
    return min(max(x, low), high);
}

fn pow_int(x: i32, y: i32) -> i32 {
    if y < 0 {
        if x == 1 { return 1; }
        if x == -1 { return select(1, -1, (y & 1) != 0); }
        return 0;
    }
    var r = 1;
    var base = x;
    var n = u32(y);
    while n != 0u {
        if (n & 1u) == 1u { r *= base; }
        base *= base;
        n = n >> 1u;
    }
    return r;
}

// The exact remainder with the sign of x, as C's fmod: long division of the significands, eight bits at a time.
fn fmod_(x: f32, y: f32) -> f32 {
    if isnan_(x) || isnan_(y) || isinf_(x) || y == 0.0 { return not_a_number(); }
    let a = bitcast<u32>(abs(x));
    let b = bitcast<u32>(abs(y));
    if a < b { return x; }
    // Denormals have exponent 1 and no leading bit.
    let b_exponent = max(b >> 23u, 1u);
    let divisor = (b & 0x007fffffu) | select(0u, 0x00800000u, b >= 0x00800000u);
    var r = ((a & 0x007fffffu) | select(0u, 0x00800000u, a >= 0x00800000u)) % divisor;
    var gap = max(a >> 23u, 1u) - b_exponent;
    while gap > 0u {
        let step = min(gap, 8u);
        r = (r << step) % divisor;
        gap -= step;
    }
    let size = scale_by_power(f32(r), i32(b_exponent) - 150);
    return select(size, -size, bitcast<i32>(x) < 0);
}

// Python's %: the sign of the divisor.
fn remainder_(x: f32, y: f32) -> f32 {
    let r = fmod_(x, y);
    return select(r, r + y, r != 0.0 && ((r < 0.0) != (y < 0.0)));
}

fn floor_divide_(x: f32, y: f32) -> f32 {
    if y == 0.0 { return x / y; }
    let r = fmod_(x, y);
    var q = (x - r) / y;
    if r != 0.0 && ((r < 0.0) != (y < 0.0)) { q -= 1.0; }
    return round(q);
}

// float32 to int32: toward zero, saturating, NaN gives 0.
fn trunc_to_int(x: f32) -> i32 {
    if isnan_(x) { return 0; }
    if x >= 2147483648.0 { return 2147483647; }
    if x < -2147483648.0 { return -2147483647 - 1; }
    return i32(x);
}
