/* What devices give at a price (`control/allocate.py`). Their curves are made again in each pass:
   that costs less than to write a million of them and to read them back. */

/* Compiled for AVX2 as well, which is used where the processor has it; the results are the same. */
#if defined(__x86_64__) && defined(__GLIBC__)
#define ALSO_AVX2 __attribute__((target_clones("avx2", "default")))
#else
#define ALSO_AVX2
#endif

#define DEVICES 256 /* at once: their curves stay in the cache */
#define COSTS 7

typedef struct {
    const double *least, *most, *weight_up, *weight_down, *wear, *stick, *held;
    int64_t n;
} Costs;

typedef struct {
    double slope[DEVICES], first[DEVICES], last[DEVICES];
} Side;

typedef struct {
    double least[DEVICES], most[DEVICES];
    Side down, up;
} Curves;

static double lower(double a, double b) { return a < b ? a : b; }
static double higher(double a, double b) { return a > b ? a : b; }
static double at_rest(double least, double most) { return lower(higher(least, 0.0), most); }

static int costs_of(Held *held, PyObject *const *args, Costs *c)
{
    if (!(c->least = items(held, args[0], 0, 8, 0))) return 0;
    c->n = length(held, 8);
    return (c->most = items(held, args[1], c->n, 8, 0)) &&
           (c->weight_up = items(held, args[2], c->n, 8, 0)) &&
           (c->weight_down = items(held, args[3], c->n, 8, 0)) &&
           (c->wear = items(held, args[4], c->n, 8, 0)) &&
           (c->stick = items(held, args[5], c->n, 8, 0)) &&
           (c->held = items(held, args[6], c->n, 8, 0));
}

/* The curves of `m` devices from row `at`, with the operations of `allocate._fill` in its order.
   Returns 0 where a bound is not a number. */
ALSO_AVX2
static int curves_of(const Costs *c, int64_t at, int m, double no_weight, Curves *to)
{
    const double *least = c->least + at, *most = c->most + at, *wear = c->wear + at;
    const double *weight_up = c->weight_up + at, *weight_down = c->weight_down + at;
    const double *stick = c->stick + at, *held = c->held + at;
    int64_t unsound = 0;
    for (int i = 0; i < m; i++) {
        double high = most[i], low = lower(least[i], high), calm = at_rest(low, high);
        double pull = (stick[i] != 0.0 ? held[i] : 0.0) * stick[i];
        int charges = weight_down[i] > no_weight, discharges = weight_up[i] > no_weight;
        double down = 1.0 / (charges ? weight_down[i] : 1.0) + stick[i];
        double up = 1.0 / (discharges ? weight_up[i] : 1.0) + stick[i];
        double charge_from = -wear[i] - pull, discharge_from = wear[i] - pull;
        to->least[i] = charges ? low : calm;
        to->most[i] = discharges ? high : calm;
        to->down.slope[i] = (charges ? 1.0 : 0.0) / down;
        to->up.slope[i] = (discharges ? 1.0 : 0.0) / up;
        to->down.first[i] = to->least[i] * down + charge_from;
        to->down.last[i] = calm * down + charge_from;
        to->up.first[i] = calm * up + discharge_from;
        to->up.last[i] = to->most[i] * up + discharge_from;
        unsound += !(least[i] == least[i]) + !(most[i] == most[i]);
    }
    return unsound == 0;
}

static double sum_of(const double *values, int m)
{
    double four[4] = {0.0, 0.0, 0.0, 0.0};
    int i = 0;
    for (; i + 4 <= m; i += 4)
        for (int k = 0; k < 4; k++) four[k] += values[i + k];
    for (; i < m; i++) four[0] += values[i];
    return (four[0] + four[1]) + (four[2] + four[3]);
}

typedef struct {
    double floor_w, ceiling_w, first, last, height_w; /* of all devices */
    double risen_w, slope; /* of those that are straight between the two prices */
    int64_t kinked;
} Survey;

/* How far a ramp has risen at `low`, its slope between `low` and `high`, and whether it has a kink
   between them; added to what is there. */
static void add_side(const Side *side, int m, double low, double high, double *risen,
                     double *slope, double *kinks)
{
    for (int i = 0; i < m; i++) {
        double first = side->first[i], last = side->last[i];
        int kinked = ((first > low) & (first < high)) | ((last > low) & (last < high));
        int through = (first <= low) & (last >= high);
        risen[i] += (lower(higher(first, low), last) - first) * side->slope[i];
        slope[i] += through ? side->slope[i] : 0.0;
        kinks[i] += kinked ? 1.0 : 0.0;
    }
}

static void add_span(const Side *side, int m, Survey *s)
{
    double height[DEVICES];
    for (int i = 0; i < m; i++) {
        height[i] = (side->last[i] - side->first[i]) * side->slope[i];
        s->first = lower(side->first[i], s->first);
        s->last = higher(side->last[i], s->last);
    }
    s->height_w += sum_of(height, m);
}

ALSO_AVX2
static void add_block(const Curves *c, int64_t at, int m, double low, double high, Survey *s,
                      int64_t *rows, int64_t room)
{
    double risen[DEVICES] = {0}, slope[DEVICES] = {0}, kinks[DEVICES] = {0};
    s->floor_w += sum_of(c->least, m);
    s->ceiling_w += sum_of(c->most, m);
    add_span(&c->down, m, s);
    add_span(&c->up, m, s);
    add_side(&c->down, m, low, high, risen, slope, kinks);
    add_side(&c->up, m, low, high, risen, slope, kinks);
    for (int i = 0; i < m; i++) {
        if (kinks[i] == 0.0) continue;
        risen[i] = slope[i] = 0.0;
        if (s->kinked < room) rows[s->kinked] = at + i;
        s->kinked++;
    }
    s->risen_w += sum_of(risen, m);
    s->slope += sum_of(slope, m);
}

/* survey(7 columns of costs, no_weight, low, high, rows) -> floor_w, ceiling_w, first, last,
   height_w, risen_w, slope, kinked. The last three: rise at the price `low`, and slope, of the
   devices whose curves are straight between `low` and `high`, and how many others there are; as
   many of their rows as there is room for are written. A height that is not finite says that a
   bound or a cost is not. */
static PyObject *survey(PyObject *self, PyObject *const *args, Py_ssize_t given)
{
    (void)self;
    Held held = {.held = 0};
    Costs costs;
    Curves curves;
    Survey s = {.first = INFINITY, .last = -INFINITY};
    PyObject *result = NULL;
    if (!wants(given, COSTS + 4) || !costs_of(&held, args, &costs)) goto done;
    double no_weight = PyFloat_AsDouble(args[COSTS]), low = PyFloat_AsDouble(args[COSTS + 1]);
    double high = PyFloat_AsDouble(args[COSTS + 2]);
    if (PyErr_Occurred()) goto done;
    int64_t *rows = items(&held, args[COSTS + 3], 0, 8, 1);
    if (!rows) goto done;
    int64_t room = length(&held, 8);
    for (int64_t at = 0; at < costs.n; at += DEVICES) {
        int m = costs.n - at < DEVICES ? (int)(costs.n - at) : DEVICES;
        if (!curves_of(&costs, at, m, no_weight, &curves)) s.height_w = NAN;
        add_block(&curves, at, m, low, high, &s, rows, room);
    }
    result = Py_BuildValue("dddddddL", s.floor_w, s.ceiling_w, s.first, s.last, s.height_w,
                           s.risen_w, s.slope, (long long)s.kinked);
done:
    give_back(&held);
    return result;
}

/* What a block's devices give at a price, with the operations of `Curves.at` in its order. */
ALSO_AVX2
static void powers_of(const Curves *c, int m, double price, double *power_w)
{
    for (int i = 0; i < m; i++) {
        double fallen = lower(higher(c->down.first[i], price), c->down.last[i]) - c->down.last[i];
        double risen = lower(higher(c->up.first[i], price), c->up.last[i]) - c->up.first[i];
        double given_w = fallen * c->down.slope[i] + risen * c->up.slope[i];
        given_w += at_rest(c->least[i], c->most[i]);
        power_w[i] = lower(higher(given_w, c->least[i]), c->most[i]);
    }
}

/* powers_at(7 columns of costs, no_weight, price, power_w): `Curves.at` of finite costs. */
static PyObject *powers_at(PyObject *self, PyObject *const *args, Py_ssize_t given)
{
    (void)self;
    Held held = {.held = 0};
    Costs costs;
    Curves c;
    PyObject *result = NULL;
    if (!wants(given, COSTS + 3) || !costs_of(&held, args, &costs)) goto done;
    double no_weight = PyFloat_AsDouble(args[COSTS]), price = PyFloat_AsDouble(args[COSTS + 1]);
    if (PyErr_Occurred()) goto done;
    double *power_w = items(&held, args[COSTS + 2], costs.n, 8, 1);
    if (!power_w) goto done;
    for (int64_t at = 0; at < costs.n; at += DEVICES) {
        int m = costs.n - at < DEVICES ? (int)(costs.n - at) : DEVICES;
        curves_of(&costs, at, m, no_weight, &c);
        powers_of(&c, m, price, power_w + at);
    }
    result = Py_NewRef(Py_None);
done:
    give_back(&held);
    return result;
}
