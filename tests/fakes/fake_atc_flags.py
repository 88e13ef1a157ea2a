"""All flags of the public source of atc, for the stand-in and for tests of our command lines."""

from __future__ import annotations

__all__ = ["known_flags"]

TEXT = """\
model output framework weight input_shape input_hint_shape input_shape_range help cal_conf
insert_op_conf op_name_map target om json mode out_nodes op_precision_mode allow_hf32
precision_mode precision_mode_v2 modify_mixlist keep_dtype input_format check_report
input_fp16_nodes is_output_adjust_hw_layout is_input_adjust_hw_layout output_type
op_select_implmode optypelist_for_implmode singleop disable_reuse_memory auto_tune_mode
soc_version virtual_type core_type aicore_num buffer_optimize fusion_switch_file
compression_optimize_conf customize_dtypes op_debug_config save_original_model
dynamic_batch_size dynamic_image_size dynamic_dims enable_small_channel
enable_compress_weight compress_weight_conf sparsity enable_single_stream
ac_parallel_enable tiling_schedule_optimize log dump_mode op_debug_level
enable_scope_fusion_passes debug_dir status_check op_compiler_cache_dir
op_compiler_cache_mode mdl_bank_path op_bank_path display_model_info device_id
shape_generalized_build_mode atomic_clean_policy external_weight deterministic
host_env_os host_env_cpu quant_dumpable is_weight_clip oo_level
"""


def known_flags() -> set[str]:
    """Their names, without the dashes."""
    return set(TEXT.split())
