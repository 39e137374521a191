# Perl's numbers, large and small: prints results that are the same on every processor. The C library's mathematics is to be told which
# routines to take (GLIBC_TUNABLES), as those with FMA round less often.
use strict;
use warnings;
use Math::BigFloat;
use Math::BigInt lib => 'Calc';
use Math::BigRat;
use POSIX ();

my $scale = shift // 1;

# Whole numbers of many digits: factorials, powers, quotients, and Lucas's test of Mersenne numbers.
print "factorial ", Math::BigInt->new(20 * $scale)->bfac, "\n";
print "power ", Math::BigInt->new(3)->bpow(140 * $scale)->bmod('1000000000000000000000000000057'), "\n";
print "modular ", Math::BigInt->new('123456789012345678901234567890')->bmodpow('65537', '170141183460469231731687303715884105727'), "\n";
print "inverse ", Math::BigInt->new('987654321987654321')->bmodinv('170141183460469231731687303715884105727'), "\n";
print "root ", Math::BigInt->new(2)->bpow(333)->bsqrt, "\n";
print "divisor ", Math::BigInt::bgcd(Math::BigInt->new(2)->bpow(90) - 1, Math::BigInt->new(2)->bpow(60) - 1), "\n";
for my $exponent (grep { $scale > 1 || $_ < 62 } 13, 31, 61, 89, 107, 127, 131) {
    my $number = Math::BigInt->new(2)->bpow($exponent)->bsub(1);
    my $rest = Math::BigInt->new(4);
    $rest = ($rest * $rest - 2) % $number for 3 .. $exponent;
    print "mersenne $exponent ", ($rest->is_zero ? 'prime' : 'composite'), "\n";
}

# Decimals of many digits.
print "pi ", Math::BigFloat->bpi(14 * $scale), "\n";
print "e ", Math::BigFloat->new(1)->bexp(12 * $scale), "\n";
print "log ", Math::BigFloat->new(2)->blog(undef, 10 * $scale), "\n";
print "sqrt ", Math::BigFloat->new(2)->bsqrt(20 * $scale), "\n";
print "sin ", Math::BigFloat->new('0.7')->bsin(12), "\n";
my $harmonic = Math::BigRat->new(0);
$harmonic += Math::BigRat->new(1, $_) for 1 .. 8 * $scale;
print "harmonic $harmonic\n";

# The processor's own numbers.
my ($sum, $words, $bits) = (0, 0, '');
srand(42);
for my $i (1 .. 120 * $scale) {
    my ($x, $y) = (rand(2000) - 1000, rand(10) + 0.25);
    my $n = int(rand(4294967296));
    my @results = (
        $x + $y, $x * $y, $x / $y, abs($x)**0.5, sqrt(abs $x), sin $x, cos $x, atan2($x, $y), exp($y), log($y), $y**3.5,
        POSIX::fmod($x, $y), POSIX::floor($x), POSIX::ceil($x), POSIX::ldexp($x, $i % 40), POSIX::tanh($x), POSIX::strtod("$x$n"),
    );
    $bits = pack 'd*', unpack('d', substr($bits, 0, 8) || pack('d', 0)), @results;
    $sum = ($sum * 31 + unpack('%64C*', $bits)) % 18014398509481951;
    $words = ($words * 1103515245 + ($n ^ ($n << 7)) + ($n >> 3) - ($n % 977) * ($n & 0xffff) + int($n / 77)) % 4503599627370449;
    printf "%.17g %a %s %s %.3f %e\n", $results[$i % @results], $results[2], $x, $results[3], $y, $results[9] if $i % 20 == 0;
}
print "numbers $sum $words\n";
print "formats ", unpack('H*', pack('d f q Q l L s S n N v V w j J F d> f> q>', 1.1, -2.5e-3, -5, 2**63, -7, 7, -9, 9, 258, 65539, 258, 65539,
    3**20, -11, 11, 1e300, 1.1, -2.5e-3, -5)), "\n";
print "special ", join(' ', 9**9**9, -9**9**9, 1e308 * 10, 5e-324 / 2, 0.1 + 0.2, 1e16 + 1, -17 % 5, 17 % -5, 7 / 2, int(-3.7), 2**53 + 1,
    0xffffffff * 0xffffffff, 18446744073709551615, ~0 >> 1, 1 <=> 2, hex 'ffffffff', oct '0b1011'), "\n";
print "sorted ", join(' ', (sort { $a <=> $b } map { int(rand 1e9) } 1 .. 20)), "\n";
