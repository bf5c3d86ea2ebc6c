/* Binding programs to a kernel that runs their loop whole: each role becomes a spot; see small.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "small.h"

/* --- room --- */

/* Zeroed room for N of SIZE, released with the binder; NULL: failed. */
static void *room(blo_binder *binder, int n, size_t size) {
    void *memory = calloc((size_t)n + 1, size);
    if (!memory || binder->n_owned == (int)(sizeof binder->owned / sizeof *binder->owned)) {
        free(memory);
        binder->failed = true;
        return NULL;
    }
    binder->owned[binder->n_owned++] = memory;
    return memory;
}

void blo_binder_free(blo_binder *binder) {
    for (int i = 0; i < binder->n_owned; i++)
        free(binder->owned[i]);
    for (int i = 0; i < binder->n_routines; i++)
        blo_routine_destroy(binder->routines[i]);
    *binder = (blo_binder){0};
}

blo_status blo_binder_status(const blo_binder *binder) {
    blo_context *context = binder->trajectory->solver->context;
    if (binder->failed)
        return blo_fail(context, BLO_ERROR_UNSUPPORTED, "a problem of so many arrays does not fit one kernel");
    return BLO_OK;
}

static blo_spot new_entry(blo_binder *binder, blo_entry entry) {
    blo_whole_layout *layout = &binder->layout;
    if (layout->n_table == BLO_SMALL_ENTRIES) {
        binder->failed = true;
        return (blo_spot){0};
    }
    binder->entries[layout->n_table] = entry;
    return (blo_spot){.kind = BLO_SPOT_TABLE, .index = layout->n_table++};
}

static blo_spot table(blo_binder *binder, blo_entry_kind kind, int index) {
    for (int i = 0; i < binder->layout.n_table; i++)
        if (binder->entries[i].kind == kind && binder->entries[i].index == index)
            return (blo_spot){.kind = BLO_SPOT_TABLE, .index = i};
    return new_entry(binder, (blo_entry){kind, index, NULL});
}

static blo_spot spare(blo_binder *binder, uint64_t bytes) {
    blo_whole_layout *layout = &binder->layout;
    if (layout->n_spare == BLO_SMALL_ENTRIES) {
        binder->failed = true;
        return (blo_spot){0};
    }
    binder->spare_bytes[layout->n_spare] = bytes;
    return (blo_spot){.kind = BLO_SPOT_SPARE, .index = layout->n_spare++};
}

static blo_spot array(blo_spot_kind kind, int index) {
    return (blo_spot){.kind = kind, .index = index};
}

/* --- stages --- */

static uint64_t row_bytes(const blo_form *form) {
    uint64_t bytes = blo_dtype_size(form->dtype);
    for (int i = 1; i < form->rank; i++)
        bytes *= (uint64_t)form->shape[i];
    return bytes;
}

static blo_spot spot_of(blo_binder *binder, const blo_program *program, blo_role role) {
    const bool train = program->key.kind == BLO_PROGRAM_STEP;
    switch (role.kind) {
    case BLO_ROLE_STATE: return array(BLO_SPOT_STATE, role.index);
    case BLO_ROLE_CARRY: return array(BLO_SPOT_CARRY, role.index);
    case BLO_ROLE_INITIAL: return array(BLO_SPOT_FIRST, role.index);
    case BLO_ROLE_STEP: return array(BLO_SPOT_STEP, 0);
    case BLO_ROLE_UPPER: return table(binder, BLO_ENTRY_UPPER, role.index);
    case BLO_ROLE_DATA: return table(binder, train ? BLO_ENTRY_TRAIN_DATA : BLO_ENTRY_VALIDATE_DATA, 0);
    case BLO_ROLE_TARGET: return table(binder, train ? BLO_ENTRY_TRAIN_TARGET : BLO_ENTRY_VALIDATE_TARGET, 0);
    case BLO_ROLE_NAMED: {
        blo_spot spot = table(binder, BLO_ENTRY_NAMED, role.index);
        if (program->key.named[role.index].per_step) {
            spot.kind = BLO_SPOT_ROW;
            spot.bytes = row_bytes(&program->key.named[role.index]);
        }
        return spot;
    }
    case BLO_ROLE_KEPT:
    case BLO_ROLE_HOISTED:
    case BLO_ROLE_COTANGENT:
    case BLO_ROLE_SAVED:
    case BLO_ROLE_CHOSEN:
    case BLO_ROLE_CARRIED:
    case BLO_ROLE_NONE:
    case BLO_ROLE_RUNNING:
    case BLO_ROLE_TRACKED: break; /* of queued loops, or outside of loops */
    case BLO_ROLE_UPPER_BUFFER: return table(binder, BLO_ENTRY_UPPER_BUFFER, role.index);
    case BLO_ROLE_LOWER_BUFFER: return table(binder, BLO_ENTRY_LOWER_BUFFER, role.index);
    }
    return array(BLO_SPOT_NONE, 0);
}

/* The stage that computes the N OUTPUTS of PROGRAM; where they go is left open. */
static blo_status open_stage(blo_binder *binder, const char *name, const blo_program *program, int n,
                             blo_node *const *outputs, blo_whole_stage *stage, blo_spot **to) {
    blo_context *context = binder->trajectory->solver->context;
    blo_routine *routine = NULL;
    blo_status status = blo_routine_create(context, name, n, outputs, &routine);
    binder->unfitting = binder->unfitting || (status == BLO_OK && !routine);
    if (!routine)
        return status;
    binder->routines[binder->n_routines++] = routine;
    const int inputs = blo_routine_inputs(routine);
    blo_spot *spots = room(binder, inputs, sizeof *spots);
    *to = room(binder, n, sizeof **to);
    if (!spots || !*to)
        return blo_fail(context, BLO_ERROR_MEMORY, "no memory to bind a lower loop");
    for (int i = 0; i < inputs; i++)
        if (blo_routine_uses_input(routine, i))
            spots[i] = spot_of(binder, program, program->roles[i]);
    *stage = (blo_whole_stage){routine, spots, *to};
    return BLO_OK;
}

/* F's gradient at y_K: into the carries, or direct. */
static void place_seed(blo_binder *binder, blo_spot *to) {
    const blo_program *step = binder->trajectory->step, *objective = binder->trajectory->observe;
    const int n_upper = step->n_upper, n_lower = step->n_lower;
    for (int i = 0; i < n_lower; i++)
        to[1 + i] = array(BLO_SPOT_CARRY, i);
    for (int i = 0; i < n_upper + n_lower; i++) {
        const int slot = i < n_upper ? objective->upper_slot[i] : objective->initial_slot[i - n_upper];
        const int carry = i < n_upper ? step->upper_slot[i] : step->initial_slot[i - n_upper];
        if (slot >= 0)
            to[slot] = carry >= 0 ? array(BLO_SPOT_CARRY, carry) : table(binder, BLO_ENTRY_DIRECT, i);
    }
}

blo_status blo_binder_open(blo_binder *binder, const blo_trajectory *trajectory) {
    const blo_program *step = trajectory->step, *observe = trajectory->observe;
    const blo_lower_options *options = &trajectory->solver->options;
    blo_whole_layout *layout = &binder->layout;
    blo_spot *to = NULL;
    *binder = (blo_binder){.trajectory = trajectory};
    *layout = (blo_whole_layout){.loop = trajectory->loop,
                                 .steps = options->lower_loop,
                                 .dtype = blo_model_dtype(trajectory->solver->lower),
                                 .every = options->acquire_max_loss,
                                 .largest = options->acquire_max_loss && options->truncation,
                                 .n_carry = trajectory->n_carry,
                                 .carry_bytes = trajectory->array_bytes + trajectory->n_state,
                                 .spare_bytes = binder->spare_bytes};
    blo_status status = open_stage(binder, "blo_step", step, step->n_state, step->next_state, &layout->step, &to);
    for (int i = 0; to && i < step->n_state; i++)
        to[i] = array(BLO_SPOT_STATE, i);
    if (status == BLO_OK && !binder->unfitting)
        status = open_stage(binder, "blo_observe", observe, 1, &observe->value, &layout->observe, &to);
    if (status == BLO_OK && !binder->unfitting)
        status =
            open_stage(binder, "blo_seed", observe, observe->n_output, observe->adjoint_outputs, &layout->seed, &to);
    if (status == BLO_OK && !binder->unfitting)
        place_seed(binder, to);
    if (status == BLO_OK && !binder->unfitting)
        status = open_stage(binder, "blo_adjoint", step, step->n_carry, step->adjoint_outputs, &layout->adjoint, &to);
    for (int i = 0; status == BLO_OK && !binder->unfitting && i < step->n_carry; i++)
        to[i] = array(BLO_SPOT_CARRY, i);
    return status;
}

/* --- what happens around the stages --- */

static void add_copy(blo_whole_copy *copies, int *n, blo_spot to, blo_spot from, uint64_t bytes) {
    copies[(*n)++] = (blo_whole_copy){to, from, bytes};
}

/* s_0: y_0, and zeros for the optimizer's arrays; and cleared gradients. */
static void bind_start(blo_binder *binder, bool clear) {
    const blo_trajectory *trajectory = binder->trajectory;
    const blo_lower_solver *solver = trajectory->solver;
    const int n_lower = solver->n_lower, n_upper = trajectory->step->n_upper;
    blo_whole_copy *copies = room(binder, trajectory->n_state + n_lower + n_upper, sizeof *copies);
    int n = 0;
    if (!copies)
        return;
    for (int i = 0; i < trajectory->n_state; i++)
        add_copy(copies, &n, array(BLO_SPOT_FIRST, i),
                 i < n_lower ? table(binder, BLO_ENTRY_START, i) : array(BLO_SPOT_NONE, 0), trajectory->array_bytes[i]);
    for (int i = 0; clear && i < n_lower; i++)
        add_copy(copies, &n, table(binder, BLO_ENTRY_LOWER_GRADIENT, i), array(BLO_SPOT_NONE, 0),
                 blo_tensor_bytes(blo_model_gradient_at(solver->lower, i)));
    for (int i = 0; clear && i < n_upper; i++)
        add_copy(copies, &n, table(binder, BLO_ENTRY_UPPER_GRADIENT, i), array(BLO_SPOT_NONE, 0),
                 blo_tensor_bytes(blo_model_gradient_at(solver->upper, i)));
    binder->layout.n_start = n;
    binder->layout.start = copies;
}

/* y_T kept for a warm start. */
static void bind_end(blo_binder *binder) {
    const blo_trajectory *trajectory = binder->trajectory;
    const int n_lower = trajectory->solver->n_lower;
    blo_whole_copy *copies = room(binder, n_lower, sizeof *copies);
    for (int i = 0; copies && trajectory->solver->options.warm_start && i < n_lower; i++)
        add_copy(copies, &binder->layout.n_end, table(binder, BLO_ENTRY_WARM, i), array(BLO_SPOT_LAST, i),
                 trajectory->array_bytes[i]);
    binder->layout.end = copies;
}

/* Carries that F's gradient does not write. */
static void bind_zero(blo_binder *binder) {
    const blo_trajectory *trajectory = binder->trajectory;
    const blo_program *step = trajectory->step, *objective = trajectory->observe;
    const uint64_t *bytes = binder->layout.carry_bytes;
    blo_whole_copy *copies = room(binder, trajectory->n_carry, sizeof *copies);
    int n = 0;
    if (!copies)
        return;
    for (int i = step->n_lower; i < step->n_state; i++)
        add_copy(copies, &n, array(BLO_SPOT_CARRY, i), array(BLO_SPOT_NONE, 0), bytes[i]);
    for (int i = 0; i < step->n_upper + step->n_lower; i++) {
        const int upper = i < step->n_upper, at = upper ? i : i - step->n_upper;
        const int carry = upper ? step->upper_slot[at] : step->initial_slot[at];
        const int slot = upper ? objective->upper_slot[at] : objective->initial_slot[at];
        if (carry >= 0 && slot < 0)
            add_copy(copies, &n, array(BLO_SPOT_CARRY, carry), array(BLO_SPOT_NONE, 0), bytes[carry]);
    }
    binder->layout.n_zero = n;
    binder->layout.zero = copies;
}

/* A parameter's own gradient: its carry if the step depends on it, else F's direct one, else nothing. */
static void sum_own(blo_binder *binder, blo_whole_sum *sums, int carry, int slot, int direct, blo_spot to,
                    const blo_tensor *gradient) {
    if (carry < 0 && slot < 0)
        return;
    const blo_spot from = carry >= 0 ? array(BLO_SPOT_CARRY, carry) : table(binder, BLO_ENTRY_DIRECT, direct);
    sums[binder->layout.n_sums++] = (blo_whole_sum){to, from, (uint64_t)blo_tensor_count(gradient)};
}

/* g_x into the upper model's gradients; lambda and what reached y_0 directly into the lower model's: in the order in
 * which commit() of iapttgm.c adds them. */
static void bind_sums(blo_binder *binder) {
    const blo_trajectory *trajectory = binder->trajectory;
    const blo_lower_solver *solver = trajectory->solver;
    const blo_program *step = trajectory->step, *objective = trajectory->observe;
    blo_whole_sum *sums = room(binder, step->n_upper + 2 * step->n_lower, sizeof *sums);
    if (!sums)
        return;
    for (int i = 0; i < step->n_upper; i++)
        sum_own(binder, sums, step->upper_slot[i], objective->upper_slot[i], i,
                table(binder, BLO_ENTRY_UPPER_GRADIENT, i), blo_model_gradient_at(solver->upper, i));
    for (int i = 0; solver->options.initialization_auxiliary && i < step->n_lower; i++) {
        const blo_tensor *gradient = blo_model_gradient_at(solver->lower, i);
        const blo_spot to = table(binder, BLO_ENTRY_LOWER_GRADIENT, i);
        sums[binder->layout.n_sums++] =
            (blo_whole_sum){to, array(BLO_SPOT_CARRY, i), (uint64_t)blo_tensor_count(gradient)};
        sum_own(binder, sums, step->initial_slot[i], objective->initial_slot[i], step->n_upper + i, to, gradient);
    }
    binder->layout.sums = sums;
}

void blo_binder_turn(blo_binder *binder, int turns) {
    binder->layout.turns = turns;
    binder->layout.sums_apart = turns == 1;
    bind_start(binder, turns > 1);
    bind_end(binder);
    bind_zero(binder);
    bind_sums(binder);
}

/* --- updates --- */

/* Buffer I of OPTIMIZER's inputs: values, gradients, state arrays, rate, steps done. */
static const blo_buffer *input_of(const blo_optimizer *optimizer, int i) {
    const int n = blo_optimizer_parameters(optimizer), arrays = blo_optimizer_arrays(optimizer);
    const blo_model *model = blo_optimizer_model(optimizer);
    if (i < n)
        return blo_tensor_buffer(blo_model_value_at(model, i));
    if (i < 2 * n)
        return blo_tensor_buffer(blo_model_gradient_at(model, i - n));
    if (i < 2 * n + arrays)
        return blo_optimizer_array(optimizer, i - 2 * n);
    return i == 2 * n + arrays ? blo_optimizer_rate(optimizer) : blo_optimizer_count(optimizer);
}

/* That buffer, as one argument for all optimizers of one model. */
static blo_spot input_spot(blo_binder *binder, const blo_optimizer *optimizer, int i) {
    for (int e = 0; e < binder->layout.n_table; e++) {
        const blo_entry *entry = &binder->entries[e];
        if (entry->optimizer && input_of(entry->optimizer, entry->index) == input_of(optimizer, i))
            return (blo_spot){.kind = BLO_SPOT_TABLE, .index = e};
    }
    return new_entry(binder, (blo_entry){BLO_ENTRY_OPTIMIZER, i, optimizer});
}

/* One optimizer's step: its outputs go to spare arrays, and are then copied over what they replace. What changes is
 * saved at SAVED. */
static blo_status bind_update(blo_binder *binder, const blo_optimizer *optimizer, int number, blo_whole_update *update,
                              blo_whole_copy *saved, int *n_saved) {
    blo_context *context = binder->trajectory->solver->context;
    const int n = blo_optimizer_parameters(optimizer), arrays = blo_optimizer_arrays(optimizer);
    char name[32];
    blo_routine *routine = NULL;
    snprintf(name, sizeof name, "blo_update%d", number);
    blo_status status = blo_optimizer_routine(optimizer, name, &routine);
    if (status != BLO_OK)
        return status;
    binder->routines[binder->n_routines++] = routine;
    blo_spot *inputs = room(binder, 2 * n + arrays + 2, sizeof *inputs),
             *outputs = room(binder, n + arrays, sizeof *outputs);
    blo_whole_copy *copies = room(binder, n + arrays, sizeof *copies);
    if (!inputs || !outputs || !copies)
        return blo_fail(context, BLO_ERROR_MEMORY, "no memory to bind an optimizer");
    for (int i = 0; i < 2 * n + arrays + 2; i++)
        inputs[i] = input_spot(binder, optimizer, i);
    for (int i = 0; i < n + arrays && !binder->failed; i++) {
        const uint64_t bytes = blo_routine_output_bytes(routine, i);
        const blo_spot changed = inputs[i < n ? i : i + n];
        outputs[i] = spare(binder, bytes);
        add_copy(copies, &update->n_copies, changed, outputs[i], bytes);
        add_copy(saved, n_saved, spare(binder, bytes), changed, bytes);
    }
    update->stage = (blo_whole_stage){routine, inputs, outputs};
    update->copies = copies;
    update->counter = inputs[2 * n + arrays + 1];
    add_copy(saved, n_saved, spare(binder, sizeof(int32_t)), update->counter, sizeof(int32_t));
    return BLO_OK;
}

blo_status blo_binder_update(blo_binder *binder, int n, blo_optimizer *const *optimizers) {
    blo_whole_layout *layout = &binder->layout;
    blo_whole_update *updates = room(binder, n, sizeof *updates);
    blo_whole_copy *saved = room(binder, BLO_SMALL_ENTRIES + 1, sizeof *saved);
    blo_status status = BLO_OK;
    if (!updates || !saved)
        return blo_fail(binder->trajectory->solver->context, BLO_ERROR_MEMORY, "no memory to bind optimizers");
    binder->failed = binder->failed || n > BLO_SMALL_UPDATES;
    for (int i = 0; status == BLO_OK && !binder->failed && i < n; i++)
        status = bind_update(binder, optimizers[i], i, &updates[i], saved, &layout->n_saved);
    for (int i = 0; !binder->failed && i < layout->n_end; i++) /* the warm start changes as well */
        add_copy(saved, &layout->n_saved, spare(binder, layout->end[i].bytes), layout->end[i].to, layout->end[i].bytes);
    layout->n_updates = n;
    layout->updates = updates;
    layout->saved = saved;
    return status;
}

/* --- buffers --- */

static const blo_buffer *buffer_of(const blo_trajectory *trajectory, const blo_entry *entry, blo_buffer *const *warm) {
    const blo_lower_solver *solver = trajectory->solver;
    const int i = entry->index;
    switch (entry->kind) {
    case BLO_ENTRY_START:
        return solver->warm ? solver->warm[i] : blo_tensor_buffer(blo_model_value_at(solver->lower, i));
    case BLO_ENTRY_WARM: return warm[i];
    case BLO_ENTRY_UPPER_BUFFER:
        return blo_tensor_buffer(blo_solver_buffer(solver, (blo_role){BLO_ROLE_UPPER_BUFFER, i}));
    case BLO_ENTRY_LOWER_BUFFER:
        return blo_tensor_buffer(blo_solver_buffer(solver, (blo_role){BLO_ROLE_LOWER_BUFFER, i}));
    case BLO_ENTRY_UPPER: return blo_tensor_buffer(blo_model_value_at(solver->upper, i));
    case BLO_ENTRY_TRAIN_DATA: return blo_tensor_buffer(trajectory->train_data.tensor);
    case BLO_ENTRY_TRAIN_TARGET: return blo_tensor_buffer(trajectory->train_target.tensor);
    case BLO_ENTRY_VALIDATE_DATA: return blo_tensor_buffer(trajectory->validate_data.tensor);
    case BLO_ENTRY_VALIDATE_TARGET: return blo_tensor_buffer(trajectory->validate_target.tensor);
    case BLO_ENTRY_NAMED: return blo_tensor_buffer(trajectory->named[i].tensor);
    case BLO_ENTRY_DIRECT: return trajectory->direct[i];
    case BLO_ENTRY_UPPER_GRADIENT: return blo_tensor_buffer(blo_model_gradient_at(solver->upper, i));
    case BLO_ENTRY_LOWER_GRADIENT: return blo_tensor_buffer(blo_model_gradient_at(solver->lower, i));
    case BLO_ENTRY_OPTIMIZER: return input_of(entry->optimizer, i);
    }
    return NULL;
}

void blo_entries_resolve(const blo_trajectory *trajectory, int n, const blo_entry *entries, blo_buffer *const *warm,
                         const blo_buffer **buffers) {
    for (int i = 0; i < n; i++)
        buffers[i] = buffer_of(trajectory, &entries[i], warm);
}
