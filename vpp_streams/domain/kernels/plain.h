/* A frame of a live fleet in the usual case, in two passes: the first looks whether it is one and
   changes nothing but working memory, the second applies it. `fleet/plain_frames.py` says what the
   usual case is; any other frame goes the general way. */

#define PLAIN_LOOK 14

/* look_at(rows, place, quality, measured_at_ms, received_at_ms, interval_ms, boots, seqs, boot,
           run_end, bad, horizon_ms, size_ms, known_rows)
   -> (start_ms of the window, newest received_at_ms, newest time measured and received,
       first measured_at_ms, last measured_at_ms), or None where the frame is not plain. */
static PyObject *look_at(PyObject *self, PyObject *const *args, Py_ssize_t given)
{
    (void)self;
    Held held = {.held = 0};
    PyObject *result = NULL;
    int64_t bad, horizon_ms, size_ms, known;
    if (!wants(given, PLAIN_LOOK)) goto done;
    const int64_t *rows = items(&held, args[0], 0, 8, 0);
    if (!rows) goto done;
    int64_t n = length(&held, 8);
    int64_t *place = items(&held, args[1], 0, 8, 1);
    if (!place) goto done;
    int64_t capacity = length(&held, 8);
    const int8_t *quality = items(&held, args[2], n, 1, 0);
    const int64_t *measured = quality ? items(&held, args[3], n, 8, 0) : NULL;
    const int64_t *received = measured ? items(&held, args[4], n, 8, 0) : NULL;
    const int32_t *interval = received ? items(&held, args[5], n, 4, 0) : NULL;
    const uint32_t *boots = interval ? items(&held, args[6], n, 4, 0) : NULL;
    const int64_t *seqs = boots ? items(&held, args[7], n, 8, 0) : NULL;
    if (!seqs || !whole(args[10], &bad) || !whole(args[11], &horizon_ms) ||
        !whole(args[12], &size_ms) || !whole(args[13], &known))
        goto done;
    const uint32_t *boot = items(&held, args[8], known, 4, 0);
    const int64_t *run_end = boot ? items(&held, args[9], known, 8, 0) : NULL;
    if (!run_end) goto done;
    if (known > capacity || size_ms <= 0) {
        PyErr_SetString(PyExc_ValueError, "more rows than places, or no size");
        goto done;
    }
    int64_t first = INT64_MAX, last = INT64_MIN, end = INT64_MIN;
    int64_t newest = INT64_MIN, seen = INT64_MIN;
    int plain = n > 0;
    for (int64_t i = 0; i < n && plain; i++) {
        int64_t r = rows[i], at = measured[i];
        if (r < 0 || r >= known || at <= 0 || at >= INT64_MAX / 2) {
            plain = 0;
            break;
        }
        int64_t until = at + interval[i];
        place[r] = i;
        plain = quality[i] != bad && until > horizon_ms && interval[i] > 0 &&
                interval[i] <= size_ms &&
                (run_end[r] == 0 || (seqs[i] == run_end[r] && boots[i] == boot[r]));
        if (at < first) first = at;
        if (at > last) last = at;
        if (until > end) end = until;
        if (received[i] > newest) newest = received[i];
        int64_t both = at < received[i] ? at : received[i];
        if (both > seen) seen = both;
    }
    for (int64_t i = 0; i < n && plain; i++) plain = place[rows[i]] == i;
    if (plain && first / size_ms == (end - 1) / size_ms)
        result = Py_BuildValue("LLLLL", (long long)(first / size_ms * size_ms), (long long)newest,
                               (long long)seen, (long long)first, (long long)last);
    else
        result = Py_NewRef(Py_None);
done:
    give_back(&held);
    return result;
}

typedef struct {
    const int64_t *measured, *received, *seqs;
    const int32_t *interval;
    const uint32_t *boots;
    const int8_t *quality, *islanded;
    const double *values[KEPT_FLOATS]; /* the powers first, then the state of charge */
} Readings;

static int readings_of(Held *held, PyObject *const *args, int64_t n, Readings *to)
{
    for (int k = 0; k < KEPT_FLOATS; k++)
        if (!(to->values[k] = items(held, args[k], n, 8, 0))) return 0;
    return (to->islanded = items(held, args[8], n, 1, 0)) &&
           (to->quality = items(held, args[9], n, 1, 0)) &&
           (to->measured = items(held, args[10], n, 8, 0)) &&
           (to->received = items(held, args[11], n, 8, 0)) &&
           (to->interval = items(held, args[12], n, 4, 0)) &&
           (to->boots = items(held, args[13], n, 4, 0)) &&
           (to->seqs = items(held, args[14], n, 8, 0));
}
#define OF_READINGS 15

typedef struct {
    double *values[KEPT_FLOATS];
    int8_t *islanded, *quality;
    int64_t *measured, *received, *readings, *run_start, *run_end, *newest;
    uint32_t *boot;
} TwinColumns;

static int twins_of(Held *held, PyObject *const *args, int64_t rows, TwinColumns *to)
{
    for (int k = 0; k < KEPT_FLOATS; k++)
        if (!(to->values[k] = items(held, args[k], rows, 8, 1))) return 0;
    return (to->islanded = items(held, args[8], rows, 1, 1)) &&
           (to->quality = items(held, args[9], rows, 1, 1)) &&
           (to->measured = items(held, args[10], rows, 8, 1)) &&
           (to->received = items(held, args[11], rows, 8, 1)) &&
           (to->readings = items(held, args[12], rows, 8, 1)) &&
           (to->run_start = items(held, args[13], rows, 8, 1)) &&
           (to->run_end = items(held, args[14], rows, 8, 1)) &&
           (to->newest = items(held, args[15], rows, 8, 1)) &&
           (to->boot = items(held, args[16], rows, 4, 1));
}
#define OF_TWINS 17
#define OF_WINDOW 15

/* What `SeqLedger._in_step` and `Twins.accept` note of a reading that continues its run. */
static void note_seen(const TwinColumns *t, const Readings *f, int64_t r, int64_t i)
{
    if (t->run_end[r] == 0) t->run_start[r] = f->seqs[i];
    t->boot[r] = f->boots[i];
    t->run_end[r] = f->seqs[i] + 1;
    if (f->measured[i] > t->newest[r]) t->newest[r] = f->measured[i];
    t->readings[r]++;
}

static void add_reading(const Window *w, int64_t capacity, const Readings *f, int64_t r, int64_t i)
{
    w->readings[r]++;
    w->estimated[r] += f->quality[i] != 0;
    w->covered_ms[r] += f->interval[i];
    for (int p = 0; p < POWERS; p++)
        if (!isnan(f->values[p][i]))
            add_power(w, p * capacity + r, f->values[p][i], f->interval[i]);
    if (!isnan(f->values[POWERS][i])) add_soc(w, r, f->values[POWERS][i], f->measured[i]);
    w->pending[r] = 1;
}

static void keep_if_newer(const TwinColumns *t, const Readings *f, int64_t r, int64_t i,
                          int64_t set_back_ms)
{
    if (f->measured[i] < t->measured[r] && f->received[i] <= t->received[r] + set_back_ms) return;
    t->measured[r] = f->measured[i];
    t->received[r] = f->received[i];
    for (int k = 0; k < KEPT_FLOATS; k++) t->values[k][r] = f->values[k][i];
    t->islanded[r] = f->islanded[i];
    t->quality[r] = f->quality[i];
}

/* apply_plain(rows, 15 columns of the frame, 17 of the twins, 15 of the window, pending of a longer
               window or None, site of each row, region of each site, counts by time and region,
               blocks, longer_blocks, known_rows, set_back_ms, block_rows, first_ms, step_ms,
               regions). `look_at` has said that the frame is plain. `blocks` and `longer_blocks`
   are bytes that become 1 where a block of rows has changed. */
static PyObject *apply_plain(PyObject *self, PyObject *const *args, Py_ssize_t given)
{
    (void)self;
    enum { AFTER = 1 + OF_READINGS + OF_TWINS + OF_WINDOW };
    Held held = {.held = 0};
    PyObject *result = NULL;
    Readings f;
    TwinColumns t;
    Window w;
    int64_t known, set_back_ms, block_rows, first_ms, step_ms, regions, capacity;
    if (!wants(given, AFTER + 12)) goto done;
    if (!whole(args[AFTER + 6], &known) || !whole(args[AFTER + 7], &set_back_ms) ||
        !whole(args[AFTER + 8], &block_rows) || !whole(args[AFTER + 9], &first_ms) ||
        !whole(args[AFTER + 10], &step_ms) || !whole(args[AFTER + 11], &regions))
        goto done;
    const int64_t *rows = items(&held, args[0], 0, 8, 0);
    if (!rows) goto done;
    int64_t n = length(&held, 8);
    if (!readings_of(&held, args + 1, n, &f) ||
        !twins_of(&held, args + 1 + OF_READINGS, known, &t) ||
        !window_of(&held, args + 1 + OF_READINGS + OF_TWINS, &w, &capacity))
        goto done;
    uint8_t *longer = NULL;
    if (args[AFTER] != Py_None && !(longer = items(&held, args[AFTER], known, 1, 1))) goto done;
    const int64_t *site = items(&held, args[AFTER + 1], known, 8, 0);
    const int32_t *region = site ? items(&held, args[AFTER + 2], 0, 4, 0) : NULL;
    if (!region) goto done;
    int64_t sites = length(&held, 4);
    int64_t *counts = items(&held, args[AFTER + 3], 0, 8, 1);
    if (!counts) goto done;
    int64_t room = length(&held, 8);
    if (block_rows <= 0 || step_ms <= 0 || known > capacity) {
        PyErr_SetString(PyExc_ValueError, "no block, no step, or a window of fewer rows");
        goto done;
    }
    int64_t blocks_known = (known + block_rows - 1) / block_rows;
    uint8_t *blocks = items(&held, args[AFTER + 4], blocks_known, 1, 1);
    uint8_t *longer_blocks = blocks ? items(&held, args[AFTER + 5], blocks_known, 1, 1) : NULL;
    if (!longer_blocks) goto done;
    for (int64_t i = 0; i < n; i++) { /* nothing has changed if one of them does not fit */
        int64_t r = rows[i];
        if (r < 0 || r >= known || site[r] < 0 || site[r] >= sites) {
            outside("row or site", r);
            goto done;
        }
        int64_t at = (f.measured[i] - first_ms) / step_ms * regions + region[site[r]];
        if (f.measured[i] < first_ms || region[site[r]] >= regions || at >= room) {
            outside("count", at);
            goto done;
        }
    }
    for (int64_t i = 0; i < n; i++) {
        int64_t r = rows[i];
        note_seen(&t, &f, r, i);
        add_reading(&w, capacity, &f, r, i);
        keep_if_newer(&t, &f, r, i, set_back_ms);
        blocks[r / block_rows] = 1;
        if (longer && !longer[r]) longer[r] = longer_blocks[r / block_rows] = 1;
        if (region[site[r]] >= 0)
            counts[(f.measured[i] - first_ms) / step_ms * regions + region[site[r]]]++;
    }
    result = Py_NewRef(Py_None);
done:
    give_back(&held);
    return result;
}
