"""Turn a text-to-image U-Net into a video U-Net. Read the files in this order:

``structure`` finds the places to change; ``attention`` says which frames each mode sees; ``temporal`` is the attention
over frames that tuning learns; ``windows`` cuts a video of any length into calls of a few frames; ``state`` is what the
changed modules read during a call; ``patches`` are the changed computations; ``video_unet`` puts them on, calls the
network, and takes them off. Beside them: ``tuned_weights`` and ``projection``, ``text_cache``, ``casting``,
``checkpointing``, ``frozen_convolution``, ``overrides``; for edits ``attention_maps`` and ``shared_attention``.
"""
