/* temporary */
FN_NOINLINE void
FN_N(lv_values)(int kind, FN_LV *z, int count)
{
    for (int k = 0; k < count; k++) {
        switch (kind) {
        case FN_RELU: z[k] = FN_N(lv_max)(z[k], FN_N(lv_set1)(0)); break;
        case FN_SILU: z[k] = FN_N(lv_mul)(z[k], FN_N(lv_sigmoid)(z[k])); break;
        default: z[k] = FN_N(lv_mul)(z[k], FN_N(lv_phi)(z[k])); break;
        }
    }
}
FN_NOINLINE void
FN_N(lv_slopes)(int kind, FN_LV *z, int count)
{
    for (int k = 0; k < count; k++) {
        FN_LV s = FN_N(lv_sigmoid)(z[k]);
        switch (kind) {
        case FN_RELU: for (int i = 0; i < FN_NATIVE; i++) z[k].v[i] = FN_N(v_select)(z[k].v[i] > 0, FN_N(v_set1)(1), FN_N(v_set1)(0)); break;
        case FN_SILU: z[k] = FN_N(lv_mul)(s, FN_N(lv_add)(FN_N(lv_set1)(1), FN_N(lv_mul)(z[k], FN_N(lv_sub)(FN_N(lv_set1)(1), s)))); break;
        default: z[k] = FN_N(lv_add)(FN_N(lv_phi)(z[k]), FN_N(lv_mul)(z[k], FN_N(lv_normal)(z[k])));
        }
    }
}
