/* The loops over one chunk, for one format. Included once per format, with these defined:
 *
 * FORMAT(name)              the name of the format's function
 * CODE, SIGNED              integers of its width
 * WORK, WORK_CODE           a float that holds every number of the format, and the integer of its width
 * MAGNITUDE_OF(number)      the absolute value of a WORK
 * INFINITE                  the code of infinity
 * NEAR                      the difference of two numbers of one sign at most NEAR steps apart is exact in WORK
 * IS_TRUSTED(sum, largest)  whether a sum of squares is exact enough, with `largest` 0 only if all elements are 0
 *
 * Counters and reductions have the width of the elements, because the compiler cannot vectorize the loop otherwise.
 */

#define CHUNK (CHUNK_BYTES / (int64_t)sizeof(CODE))
#define MAGNITUDE ((CODE)((CODE)~(CODE)0 >> 1))

/* Sum the squares of the baseline and find its largest magnitude. Return the bits in which the sides differ anywhere.
 *
 * The two halves of the chunk are summed side by side, into separate sums: a chain of dependent additions is slower
 * than the memory.
 */
INLINE CODE FORMAT(scan)(
    const CODE *restrict actual, const CODE *restrict expected, int64_t size, double *squares, CODE *largest)
{
    const int64_t half = size / 2;
    CODE unequal = 0, most = 0;
    double sum = 0, other_sum = 0;
    int64_t i;
    SIMD(reduction(| : unequal) reduction(max : most) reduction(+ : sum, other_sum))
    for (i = 0; i < half; i++) {
        const CODE code = expected[i], other = expected[half + i];
        const double value = FORMAT(value)(code), other_value = FORMAT(value)(other);
        const CODE magnitude = code & MAGNITUDE, other_magnitude = other & MAGNITUDE;
        const CODE larger = magnitude > other_magnitude ? magnitude : other_magnitude;
        unequal |= (actual[i] ^ code) | (actual[half + i] ^ other);
        most = larger > most ? larger : most;
        sum += value * value;
        other_sum += other_value * other_value;
    }
    if (size % 2) {
        const CODE code = expected[size - 1], magnitude = code & MAGNITUDE;
        const double value = FORMAT(value)(code);
        unequal |= actual[size - 1] ^ code;
        most = magnitude > most ? magnitude : most;
        sum += value * value;
    }
    *squares = sum + other_sum;
    *largest = most;
    return unequal;
}

INLINE CODE FORMAT(largest)(const CODE *restrict codes, int64_t size)
{
    CODE most = 0;
    int64_t i;
    SIMD(reduction(max : most))
    for (i = 0; i < size; i++) {
        const CODE magnitude = codes[i] & MAGNITUDE;
        most = magnitude > most ? magnitude : most;
    }
    return most;
}

/* Write the distance of each pair [ulp], count those that are not 0 and find the largest. No signs differ. */
INLINE void FORMAT(measure_one_sign)(
    const CODE *restrict actual, const CODE *restrict expected, int64_t size, CODE *restrict steps, CODE *moved,
    CODE *farthest)
{
    CODE apart = 0, most = 0;
    int64_t i;
    SIMD(reduction(+ : apart) reduction(max : most))
    for (i = 0; i < size; i++) {
        const CODE left = actual[i], right = expected[i];
        const CODE distance = left > right ? (CODE)(left - right) : (CODE)(right - left);
        steps[i] = distance;
        apart += (CODE)(distance != 0);
        most = distance > most ? distance : most;
    }
    *moved = apart;
    *farthest = most;
}

/* Map a code to an integer in the order of the numbers, both zeros to 0. */
INLINE SIGNED FORMAT(ordered)(CODE code)
{
    const CODE fill = (CODE)((SIGNED)code >> (8 * sizeof(CODE) - 1)); /* all ones where the sign is set */
    return (SIGNED)(CODE)(((fill & MAGNITUDE) ^ code) - fill);
}

/* The same for any signs. Also count the pairs whose bits differ, which includes the two zeros. */
INLINE void FORMAT(measure_any_sign)(
    const CODE *restrict actual, const CODE *restrict expected, int64_t size, CODE *restrict steps, CODE *differing,
    CODE *moved, CODE *farthest)
{
    CODE unequal = 0, apart = 0, most = 0;
    int64_t i;
    SIMD(reduction(+ : unequal, apart) reduction(max : most))
    for (i = 0; i < size; i++) {
        const SIGNED left = FORMAT(ordered)(actual[i]), right = FORMAT(ordered)(expected[i]);
        /* Correct even if the subtraction wraps, because the true distance is below 2**width. */
        const CODE distance = left > right ? (CODE)((CODE)left - (CODE)right) : (CODE)((CODE)right - (CODE)left);
        steps[i] = distance;
        unequal += (CODE)(actual[i] != expected[i]);
        apart += (CODE)(distance != 0);
        most = distance > most ? distance : most;
    }
    *differing = unequal;
    *moved = apart;
    *farthest = most;
}

/* Sum the squares of the differences and find the largest. Return whether a ratio may exceed `ratio`.
 *
 * A ratio above R means |a - e| > R |e|, and therefore |a - e| >= R |e| once both are rounded to one format. Neither a
 * division nor float64 is needed to rule it out. The differences are exact in WORK.
 */
INLINE int FORMAT(subtract_near)(
    const CODE *restrict actual, const CODE *restrict expected, int64_t size, WORK ratio, double *squares,
    double *largest)
{
    double sum = 0;
    WORK most = 0;
    WORK_CODE candidates = 0;
    int64_t i;
    SIMD(reduction(+ : sum) reduction(max : most) reduction(| : candidates))
    for (i = 0; i < size; i++) {
        const WORK right = FORMAT(value)(expected[i]);
        const WORK distance = MAGNITUDE_OF(FORMAT(value)(actual[i]) - right);
        sum += (double)distance * (double)distance;
        most = distance > most ? distance : most;
        candidates |= (WORK_CODE)((distance >= ratio * MAGNITUDE_OF(right)) & (distance > 0));
    }
    *squares = sum;
    *largest = (double)most;
    return candidates != 0;
}

/* The same for differences that must be computed in float64 to match NumPy's. */
INLINE int FORMAT(subtract_any)(
    const CODE *restrict actual, const CODE *restrict expected, int64_t size, double ratio, double *squares,
    double *largest)
{
    double sum = 0, most = 0;
    uint64_t candidates = 0;
    int64_t i;
    SIMD(reduction(+ : sum) reduction(max : most) reduction(| : candidates))
    for (i = 0; i < size; i++) {
        const double right = FORMAT(value)(expected[i]);
        const double distance = fabs((double)FORMAT(value)(actual[i]) - right);
        sum += distance * distance;
        most = distance > most ? distance : most;
        candidates |= (uint64_t)((distance >= ratio * fabs(right)) & (distance > 0));
    }
    *squares = sum;
    *largest = most;
    return candidates != 0;
}

/* Return the largest |a - e| / |e|, ignoring 0/0. */
INLINE double FORMAT(divide)(const CODE *restrict actual, const CODE *restrict expected, int64_t size)
{
    double most = 0;
    int64_t i;
    SIMD(reduction(max : most))
    for (i = 0; i < size; i++) {
        const double right = FORMAT(value)(expected[i]);
        const double ratio = fabs((double)FORMAT(value)(actual[i]) - right) / fabs(right);
        most = ratio > most ? ratio : most;
    }
    return most;
}

/* Count the elements that no bound admits. At least one bound is given. Equal elements are within any bound. */
INLINE int64_t FORMAT(exceed)(
    const CODE *restrict actual, const CODE *restrict expected, int64_t size, const CODE *restrict steps,
    const Figures *bound)
{
    const double rtol = bound->rtol, atol = bound->atol;
    const CODE most = bound->max_ulp_allowed < (CODE)~(CODE)0 ? (CODE)bound->max_ulp_allowed : (CODE)~(CODE)0;
    int64_t i;
    if (rtol == 0 && atol == 0) {
        CODE over = 0;
        SIMD(reduction(+ : over))
        for (i = 0; i < size; i++) over += (CODE)(steps[i] > most);
        return (int64_t)over;
    } else {
        const int by_steps = most != 0;
        int64_t over = 0;
        SIMD(reduction(+ : over))
        for (i = 0; i < size; i++) {
            const double right = FORMAT(value)(expected[i]);
            const double distance = fabs((double)FORMAT(value)(actual[i]) - right);
            over += !((distance <= atol + rtol * fabs(right)) | (by_steps & (steps[i] <= most)));
        }
        return over;
    }
}

/* Count the distances by bit length, from 1 on. */
INLINE void FORMAT(tabulate)(
    const CODE *restrict steps, int64_t size, CODE moved, CODE farthest, int64_t *restrict lengths)
{
    const int longest = bit_length(farthest);
    int64_t i;
    int k;
    if (longest <= COUNTED_BY_PASSES) {
        CODE at_least = moved;
        for (k = 1; k < longest; k++) {
            const CODE below = (CODE)(((CODE)1 << k) - 1);
            CODE longer = 0;
            SIMD(reduction(+ : longer))
            for (i = 0; i < size; i++) longer += (CODE)(steps[i] > below);
            lengths[k] += (int64_t)(at_least - longer);
            at_least = longer;
        }
        lengths[longest] += (int64_t)at_least;
    } else {
        /* Several tables, so that increments for neighbours of one length do not wait for each other. */
        uint32_t tables[TABLES][LENGTHS] = {{0}};
        int t;
        for (i = 0; i + TABLES <= size; i += TABLES)
            for (t = 0; t < TABLES; t++) tables[t][bit_length(steps[i + t])]++;
        for (; i < size; i++) tables[0][bit_length(steps[i])]++;
        for (t = 0; t < TABLES; t++)
            for (k = 1; k <= longest; k++) lengths[k] += tables[t][k];
    }
}

/* Measure a chunk that differs. Return 0, with `found` unchanged, if a side is not finite or a sum not exact. */
INLINE int FORMAT(add_chunk)(
    const CODE *restrict actual, const CODE *restrict expected, int64_t start, int64_t size, int signs_differ,
    CODE largest, Figures *found)
{
    CODE steps[CHUNK_BYTES / sizeof(CODE)];
    CODE differing, moved, farthest;
    double squares, max_abs;
    int64_t i;
    int candidates;
    if (signs_differ) {
        FORMAT(measure_any_sign)(actual, expected, size, steps, &differing, &moved, &farthest);
    } else {
        FORMAT(measure_one_sign)(actual, expected, size, steps, &moved, &farthest);
        differing = moved;
    }
    /* Codes few steps from numbers well below infinity are finite, so only other chunks are searched. */
    if ((farthest >= INFINITE - largest || signs_differ) && FORMAT(largest)(actual, size) >= INFINITE) return 0;
    if (farthest <= NEAR && !signs_differ)
        candidates = FORMAT(subtract_near)(
            actual, expected, size, FORMAT(below)(found->max_rel), &squares, &max_abs);
    else
        candidates = FORMAT(subtract_any)(actual, expected, size, found->max_rel, &squares, &max_abs);
    if (!IS_TRUSTED(squares, moved)) return 0;
    if (!found->differing) {
        for (i = 0; actual[i] == expected[i]; i++) continue;
        found->first = start + i;
    }
    if (!found->differing || farthest > found->max_ulp) {
        for (i = 0; steps[i] != farthest || actual[i] == expected[i]; i++) continue;
        found->max_ulp = farthest;
        found->worst = start + i;
    }
    found->differing += (int64_t)differing;
    found->difference_squares += squares;
    if (max_abs > found->max_abs) found->max_abs = max_abs;
    if (candidates && found->max_rel <= DBL_MAX) {
        const double ratio = FORMAT(divide)(actual, expected, size);
        if (ratio > found->max_rel) found->max_rel = ratio;
    }
    found->lengths[0] += (int64_t)(differing - moved);
    if (moved) FORMAT(tabulate)(steps, size, moved, farthest, found->lengths);
    if (!found->max_ulp_allowed && found->rtol == 0 && found->atol == 0)
        found->over += (int64_t)differing;
    else if (found->max_ulp_allowed < farthest) /* otherwise none is over: two zeros are 0 ulp apart */
        found->over += FORMAT(exceed)(actual, expected, size, steps, found);
    return 1;
}

/* Measure elements `start` to `stop`. Return the end of the part that was measured. */
FOR_EACH_PROCESSOR static int64_t FORMAT(measure)(
    const void *actual, const void *expected, int64_t start, int64_t stop, Figures *found)
{
    CODE overall = 0;
    while (start < stop) {
        const CODE *const left = (const CODE *)actual + start, *const right = (const CODE *)expected + start;
        const int64_t size = stop - start < CHUNK ? stop - start : CHUNK;
        CODE largest;
        double squares;
        const CODE unequal = FORMAT(scan)(left, right, size, &squares, &largest);
        if (largest >= INFINITE || !IS_TRUSTED(squares, largest)) break;
        if (unequal && !FORMAT(add_chunk)(left, right, start, size, unequal > MAGNITUDE, largest, found)) break;
        found->expected_squares += squares;
        if (largest > overall) overall = largest;
        start += size;
    }
    found->max_expected = (double)FORMAT(value)(overall);
    return start;
}

#undef CHUNK
#undef MAGNITUDE
#undef FORMAT
#undef CODE
#undef SIGNED
#undef WORK
#undef WORK_CODE
#undef MAGNITUDE_OF
#undef INFINITE
#undef NEAR
#undef IS_TRUSTED
