"""Triton kernels that perturb and update weights, and the noise implementation "philox" that they draw.

    perturb:  out   <- round( source + scale z )
    update:   theta <- round( theta - ( sum_k c_k z_k + c g ) )

Each kernel draws z in registers, reads every weight once, and writes it once; z itself is never stored. This
module imports nothing: `addax.kernels.available` says whether the kernels can run on a device, and the other
modules need triton.

**Definition of z.** z is a pure function of (step seed, parameter index, element index). It does not depend
on the dtype of the weights, the launch, or the card. Random words come from Philox4x32-10 (Salmon et al.,
2011):

    key     = the low and the high word of addax.seeds.hash_seed(step seed)
    counter = (c mod 2^32, c div 2^32, parameter index, stream)

The streams are 0 for normals, 1 for signs, and 2 for the bits of stochastic rounding. The elements of a
flattened tensor lie in rows of 512 lanes: element e is in row r = e div 512 and lane l = e mod 512.

- *Normals*: c = (r div 4) 512 + l. Words 0 and 1 give the normals of rows 4k and 4k + 1 of a lane, and words
  2 and 3 those of rows 4k + 2 and 4k + 3, by the transform of Box and Muller. The first word a of a pair
  gives u1 = (a | 1) / 2^32, the midpoint of one of 2^31 equal parts of (0, 1). The second word b gives
  u2 = b / 2^32.

      z = sqrt(-2 ln u1) cos(2 pi u2)  in the first row,  sqrt(-2 ln u1) sin(2 pi u2)  in the second row

  |z| is at most 6.67. `normals.py` evaluates the formula in float32 by polynomials, fused multiply-adds, and
  a correctly rounded square root, so every card computes the same bits. The relative error is below 1e-6.
- *Signs* (Rademacher directions): c = (r div 128) 512 + l. Row r uses bit (r mod 128) mod 32 of word
  (r mod 128) div 32: z = 1 - 2 bit.
- *Rounding bits*: c = (r div 8) 512 + l. Row r uses word (r mod 8) div 2: the lower half if r is even, the
  upper half if it is odd. An element has 16 bits.

**Arithmetic.** Products and sums are rounded separately in float32 (float64 for float64 weights), in the
order of the formulas above. Nothing is contracted. bfloat16 is unpacked and rounded with integer operations,
so no card needs bfloat16 arithmetic.

Cost: 1 launch per tensor of more than `launch.SMALL` elements; 1 launch for all smaller tensors of a call.
Memory: 40 bytes per 4,096 elements of small tensors, for a table of their addresses.
"""
