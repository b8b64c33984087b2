/* Readings to the columns of a partition's devices, a row each, in a frame in which no row occurs
   twice (`each_once` finds out). */

/* each_once(rows, place): whether no row occurs twice; `place` is working memory. */
static PyObject *each_once(PyObject *self, PyObject *const *args, Py_ssize_t given)
{
    (void)self;
    Held held = {.held = 0};
    PyObject *result = NULL;
    if (!wants(given, 2)) goto done;
    const int64_t *rows = items(&held, args[0], 0, 8, 0);
    if (!rows) goto done;
    int64_t n = length(&held, 8), same = 0;
    int64_t *place = items(&held, args[1], 0, 8, 1);
    if (!place) goto done;
    int64_t capacity = length(&held, 8);
    for (int64_t i = 0; i < n; i++) {
        if (rows[i] < 0 || rows[i] >= capacity) {
            outside("row", rows[i]);
            goto done;
        }
        place[rows[i]] = i;
    }
    for (int64_t i = 0; i < n; i++) same += place[rows[i]] == i;
    result = PyBool_FromLong(same == n);
done:
    give_back(&held);
    return result;
}

/* in_step(rows, boots, seqs, at_ms, boot, run_start, run_end, newest_ms, new) -> how many are new
   because they continue the run of their row, or begin its first one. */
static PyObject *in_step(PyObject *self, PyObject *const *args, Py_ssize_t given)
{
    (void)self;
    Held held = {.held = 0};
    PyObject *result = NULL;
    if (!wants(given, 9)) goto done;
    const int64_t *rows = items(&held, args[0], 0, 8, 0);
    if (!rows) goto done;
    int64_t n = length(&held, 8), found = 0;
    const uint32_t *boots = items(&held, args[1], n, 4, 0);
    const int64_t *seqs = boots ? items(&held, args[2], n, 8, 0) : NULL;
    const int64_t *at_ms = seqs ? items(&held, args[3], n, 8, 0) : NULL;
    uint32_t *boot = at_ms ? items(&held, args[4], 0, 4, 1) : NULL;
    if (!boot) goto done;
    int64_t capacity = length(&held, 4);
    int64_t *run_start = items(&held, args[5], capacity, 8, 1);
    int64_t *run_end = run_start ? items(&held, args[6], capacity, 8, 1) : NULL;
    int64_t *newest_ms = run_end ? items(&held, args[7], capacity, 8, 1) : NULL;
    uint8_t *new = newest_ms ? items(&held, args[8], n, 1, 1) : NULL;
    if (!new) goto done;
    for (int64_t i = 0; i < n; i++) {
        int64_t r = rows[i];
        if (r < 0 || r >= capacity) {
            outside("row", r);
            goto done;
        }
        int first = run_end[r] == 0;
        new[i] = first || (seqs[i] == run_end[r] && boots[i] == boot[r]);
        if (!new[i]) continue;
        if (first) run_start[r] = seqs[i];
        boot[r] = boots[i];
        run_end[r] = seqs[i] + 1;
        if (at_ms[i] > newest_ms[r]) newest_ms[r] = at_ms[i];
        found++;
    }
    result = PyLong_FromLongLong(found);
done:
    give_back(&held);
    return result;
}

#define POWERS 4

typedef struct {
    int32_t *readings, *estimated;
    int64_t *covered_ms, *power_ms, *soc_first_ms, *soc_last_ms;
    double *positive, *negative, *min_w, *max_w;
    double *soc_first, *soc_last, *soc_min, *soc_max;
    uint8_t *pending;
} Window;

static void add_power(const Window *w, int64_t at, double power_w, int64_t ms)
{
    double wms = power_w * (double)ms, positive = wms > 0 ? wms : 0;
    w->positive[at] += positive;
    w->negative[at] += positive - wms;
    w->power_ms[at] += ms;
    if (!(w->min_w[at] <= power_w)) w->min_w[at] = power_w;
    if (!(w->max_w[at] >= power_w)) w->max_w[at] = power_w;
}

static void add_soc(const Window *w, int64_t r, double soc, int64_t at_ms)
{
    int none = isnan(w->soc_first[r]);
    if (none || at_ms < w->soc_first_ms[r]) {
        w->soc_first[r] = soc;
        w->soc_first_ms[r] = at_ms;
    }
    if (none || at_ms >= w->soc_last_ms[r]) {
        w->soc_last[r] = soc;
        w->soc_last_ms[r] = at_ms;
    }
    if (!(w->soc_min[r] <= soc)) w->soc_min[r] = soc;
    if (!(w->soc_max[r] >= soc)) w->soc_max[r] = soc;
}

/* The columns of a window, in the order of `Window`'s fields as below. */
static int window_of(Held *held, PyObject *const *args, Window *w, int64_t *capacity)
{
    if (!(w->readings = items(held, args[0], 0, 4, 1))) return 0;
    int64_t n = *capacity = length(held, 4);
    return (w->estimated = items(held, args[1], n, 4, 1)) &&
           (w->covered_ms = items(held, args[2], n, 8, 1)) &&
           (w->positive = items(held, args[3], POWERS * n, 8, 1)) &&
           (w->negative = items(held, args[4], POWERS * n, 8, 1)) &&
           (w->power_ms = items(held, args[5], POWERS * n, 8, 1)) &&
           (w->min_w = items(held, args[6], POWERS * n, 8, 1)) &&
           (w->max_w = items(held, args[7], POWERS * n, 8, 1)) &&
           (w->soc_first = items(held, args[8], n, 8, 1)) &&
           (w->soc_first_ms = items(held, args[9], n, 8, 1)) &&
           (w->soc_last = items(held, args[10], n, 8, 1)) &&
           (w->soc_last_ms = items(held, args[11], n, 8, 1)) &&
           (w->soc_min = items(held, args[12], n, 8, 1)) &&
           (w->soc_max = items(held, args[13], n, 8, 1)) &&
           (w->pending = items(held, args[14], n, 1, 1));
}

/* add_readings(rows, measured_at_ms, overlap_ms, power_w, soc, estimated, starts_here,
                and 15 columns of a window): `fleet/windows.py`'s gain and add in one pass. */
static PyObject *add_readings(PyObject *self, PyObject *const *args, Py_ssize_t given)
{
    (void)self;
    Held held = {.held = 0};
    Window w;
    int64_t capacity;
    PyObject *result = NULL;
    if (!wants(given, 22)) goto done;
    const int64_t *rows = items(&held, args[0], 0, 8, 0);
    if (!rows) goto done;
    int64_t n = length(&held, 8);
    const int64_t *measured = items(&held, args[1], n, 8, 0);
    const int64_t *overlap = measured ? items(&held, args[2], n, 8, 0) : NULL;
    const double *power = overlap ? items(&held, args[3], POWERS * n, 8, 0) : NULL;
    const double *soc = power ? items(&held, args[4], n, 8, 0) : NULL;
    const uint8_t *estimated = soc ? items(&held, args[5], n, 1, 0) : NULL;
    const uint8_t *starts = estimated ? items(&held, args[6], n, 1, 0) : NULL;
    if (!starts || !window_of(&held, args + 7, &w, &capacity)) goto done;
    for (int64_t i = 0; i < n; i++) {
        int64_t r = rows[i], ms = overlap[i];
        if (r < 0 || r >= capacity) {
            outside("row", r);
            goto done;
        }
        w.readings[r] += starts[i] != 0;
        w.estimated[r] += estimated[i] && starts[i];
        w.covered_ms[r] += ms;
        for (int p = 0; p < POWERS; p++) {
            double power_w = power[p * n + i];
            if (!isnan(power_w)) add_power(&w, p * capacity + r, power_w, ms);
        }
        if (!isnan(soc[i])) add_soc(&w, r, soc[i], measured[i]);
        w.pending[r] = 1;
    }
    result = Py_NewRef(Py_None);
done:
    give_back(&held);
    return result;
}

#define KEPT_FLOATS 8

/* keep_newest(rows, which, set_back_ms, then of the frame and then of the twins: measured_at_ms,
               received_at_ms, 8 floats, islanded, quality): `fleet/twins.py`'s update. */
static PyObject *keep_newest(PyObject *self, PyObject *const *args, Py_ssize_t given)
{
    (void)self;
    enum { COLUMNS = 2 + KEPT_FLOATS + 2 };
    static const Py_ssize_t SIZE[COLUMNS] = {8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 1, 1};
    Held held = {.held = 0};
    PyObject *result = NULL;
    char *from[COLUMNS], *to[COLUMNS];
    int64_t set_back_ms, capacity = INT64_MAX;
    if (!wants(given, 3 + 2 * COLUMNS)) goto done;
    const int64_t *rows = items(&held, args[0], 0, 8, 0);
    if (!rows) goto done;
    int64_t n = length(&held, 8);
    const int64_t *which = items(&held, args[1], 0, 8, 0);
    if (!which) goto done;
    int64_t live = length(&held, 8);
    if (!whole(args[2], &set_back_ms)) goto done;
    for (int k = 0; k < COLUMNS; k++) {
        if (!(from[k] = items(&held, args[3 + k], n, SIZE[k], 0))) goto done;
        if (!(to[k] = items(&held, args[3 + COLUMNS + k], 0, SIZE[k], 1))) goto done;
        if (length(&held, SIZE[k]) < capacity) capacity = length(&held, SIZE[k]);
    }
    const int64_t *measured = (int64_t *)from[0], *received = (int64_t *)from[1];
    const int64_t *known = (int64_t *)to[0], *known_received = (int64_t *)to[1];
    for (int64_t j = 0; j < live; j++) {
        int64_t i = which[j];
        if (i < 0 || i >= n || rows[i] < 0 || rows[i] >= capacity) {
            outside("reading", i);
            goto done;
        }
        int64_t r = rows[i];
        if (measured[i] < known[r] && received[i] <= known_received[r] + set_back_ms) continue;
        for (int k = 0; k < COLUMNS; k++) {
            if (SIZE[k] == 8) ((int64_t *)to[k])[r] = ((int64_t *)from[k])[i];
            else to[k][r] = from[k][i];
        }
    }
    result = Py_NewRef(Py_None);
done:
    give_back(&held);
    return result;
}
