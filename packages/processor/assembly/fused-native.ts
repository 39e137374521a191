/**
 * A product and a sum rounded once, in floating-point operations that round each: for ordinary operands and results, to nearest. All the
 * rest is done on integers (vector-fused.ts).
 *
 * Of doubles the product's error is exact by splitting both factors in halves (Dekker 1971), the errors of the sums by Knuth's two-sum; what
 * is to be added to the leading part is rounded to odd, so that rounding once more is harmless (Boldo and Melquiond, "Emulation of FMA and
 * correctly rounded sums: proved algorithms using rounding to odd", 2008). The product of singles is exact in a double, and so is the rest
 * but for one rounding to odd. NaN stands for what is left to others: the result is none where an operand is infinite, denormal or NaN, where
 * the parts may overflow or lose bits at the lower end, and where the result may be tiny. Whether the result is exact is not told.
 * Called by: vector-fused.ts; regions of the translator (emit-fused.ts).
 */

/** The least normal numbers. */
const NORMAL_DOUBLE: f64 = 2.2250738585072014e-308;
const NORMAL_SINGLE: f32 = 1.1754943508222875e-38;
/** Twice that: a smaller result may have been tiny before it was rounded. */
const NOT_TINY_SINGLE: f32 = 2.350988701644575e-38;
/** 2^990: sums of a few such numbers do not overflow. */
const MOST: f64 = 1.0463951242053392e298;
/** 2^100: a factor of at most that leaves the other one normal, as their product is not below LEAST. */
const MOST_FACTOR: f64 = 1.2676506002282294e30;
/** 2^-900: the product's error is a multiple of 2^-1006 then. */
const LEAST: f64 = 1.1830521861667747e-271;
/** 1 + 2^-51 and 1 - 2^-51: what a rounded number was before is between it times one and times the other. */
const ABOVE: f64 = 1.0000000000000004;
const BELOW: f64 = 0.9999999999999996;
/** 2^27 + 1. */
const SPLITTER: f64 = 134217729.0;

/** The sum of which `error` is what rounding took, rounded to odd. */
// @ts-ignore: TypeScript has no decorators on functions; AssemblyScript, which compiles this, inlines by this one.
@inline
function toOdd(sum: f64, error: f64): f64 {
  const bits = reinterpret<i64>(sum);
  // Whether it is odd is anyone's guess: no branch.
  const step = <i64>(error != 0) & ~bits;
  return reinterpret<f64>(bits + select<i64>(step, -step, (error > 0) == (sum > 0)));
}

// @ts-ignore: TypeScript has no decorators on functions; AssemblyScript, which compiles this, inlines by this one.
@inline
function isOrdinaryDouble(size: f64): bool {
  return (size >= NORMAL_DOUBLE && size < Infinity) || size == 0;
}

/** @returns a * b + c; NaN: not to be had here */
export function fuseDouble(a: f64, b: f64, c: f64): f64 {
  const sizeA = abs(a);
  const sizeB = abs(b);
  const sizeC = abs(c);
  const product = a * b;
  const ordinary = <i32>(abs(product) >= LEAST) & <i32>(sizeA <= MOST_FACTOR) & <i32>(sizeB <= MOST_FACTOR) & <i32>(sizeC <= MOST) &
    <i32>(sizeC >= NORMAL_DOUBLE);
  if (ordinary == 0) {
    if (!isOrdinaryDouble(sizeA) || !isOrdinaryDouble(sizeB) || !isOrdinaryDouble(sizeC)) return NaN;
    // A factor of zero; a summand of zero, of which the result is the product rounded, if that is not tiny.
    if (a == 0 || b == 0) return product + c;
    return c == 0 && abs(product) >= LEAST && abs(product) <= MOST ? product : NaN;
  }
  const scaledA = SPLITTER * a;
  const highA = scaledA - (scaledA - a);
  const lowA = a - highA;
  const scaledB = SPLITTER * b;
  const highB = scaledB - (scaledB - b);
  const lowB = b - highB;
  const productError = ((highA * highB - product) + highA * lowB + lowA * highB) + lowA * lowB;
  // What both roundings took is itself rounded: that decides nothing unless the result is near the middle of two numbers.
  const sum = product + c;
  const part = sum - product;
  const error = productError + ((product - (sum - part)) + (c - part));
  const likely = sum + error;
  if ((<i32>(sum + error * ABOVE == likely) & <i32>(sum + error * BELOW == likely) & <i32>(abs(likely) >= LEAST)) != 0) return likely;
  const lower = c + productError;
  const lowerPart = lower - c;
  const lowerError = (c - (lower - lowerPart)) + (productError - lowerPart);
  const upper = product + lower;
  const upperPart = upper - product;
  const upperError = (product - (upper - upperPart)) + (lower - upperPart);
  const rest = lowerError + upperError;
  const restPart = rest - lowerError;
  const restError = (lowerError - (rest - restPart)) + (upperError - restPart);
  const result = upper + toOdd(rest, restError);
  return abs(result) >= LEAST || result == 0 ? result : NaN;
}

// @ts-ignore: TypeScript has no decorators on functions; AssemblyScript, which compiles this, inlines by this one.
@inline
function isOrdinarySingle(size: f32): bool {
  return (<i32>(size >= NORMAL_SINGLE) & <i32>(size < Infinity) | <i32>(size == 0)) != 0;
}

/** @returns a * b + c; NaN: not to be had here */
export function fuseSingle(a: f32, b: f32, c: f32): f32 {
  const ordinary = <i32>isOrdinarySingle(abs(a)) & <i32>isOrdinarySingle(abs(b)) & <i32>isOrdinarySingle(abs(c));
  if (ordinary == 0) return NaN;
  const product = <f64>a * <f64>b;
  const sum = product + <f64>c;
  const part = sum - product;
  const result = <f32>toOdd(sum, (product - (sum - part)) + (<f64>c - part));
  return (abs(result) >= NOT_TINY_SINGLE && abs(result) < Infinity) || sum == 0 ? result : NaN;
}
