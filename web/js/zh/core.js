// What the method says in Chinese, by the English sentence with values in braces: the rooms of tav_core that nodes call.

export const CORE = {
    "The verb {verb} is unknown: choose one of {verbs}.": "未知的动作 {verb}：请选择以下之一：{verbs}。",
    "{caption} is not a caption of the drawn world; expected one like '{example}' with {figures}; {verbs}; {places}; shirts {colours}; styles {styles}.":
        "{caption} 不是演示世界的描述；应类似 '{example}'，可用的词：{figures}；{verbs}；{places}；上衣颜色 {colours}；画风 {styles}。",

    "There are frames to continue from for {kept} steps, not {steps}: sample both in as many.":
        "用于延续的帧有 {kept} 步，而不是 {steps} 步：请用相同的步数采样两者。",
    "Guidance and structure need a negative context: give the text embeddings of the empty prompt, or a guidance scale of 1 and a structure of 0.":
        "引导和结构保持需要负面条件：请给出空提示词的文本嵌入，或把引导强度设为 1、结构保持设为 0。",
    "structure is {structure}, but must lie between 0 (off) and 1 (all steps).":
        "结构保持为 {structure}，但必须在 0（关闭）和 1（所有步）之间。",
    "Masks and structure need the whole video at once: sample it without continuing frames.":
        "遮罩和结构保持需要整个视频：请在采样时不要延续已有的帧。",
    "A mask needs the trajectory of the inversion: keep it when inverting, and give both.":
        "遮罩需要反演的轨迹：请在反演时保留轨迹，并同时给出两者。",
    "The trajectory has {inverted} steps, and {steps} are sampled: use the same number for both.":
        "轨迹有 {inverted} 步，而采样用 {steps} 步：请使用相同的步数。",
    "The trajectory {shape} is not of these latents {latents}: invert and sample the same frames.":
        "形状为 {shape} 的轨迹不属于这些形状为 {latents} 的潜空间：请反演和采样相同的帧。",
    "A mask {shape} does not fit latents {latents}: use latent_mask.":
        "形状为 {shape} 的遮罩不适合形状为 {latents} 的潜空间：请使用 latent_mask。",
    "The negative condition has {negative}, the positive one {positive}: give both the same entries.":
        "负面条件含有 {negative}，正面条件含有 {positive}：两者的内容必须相同。",
    "The conditions {negative} and {positive} do not fit {videos} videos: give one row, or one for each video, of the same size.":
        "形状为 {negative} 和 {positive} 的条件不适合 {videos} 个视频：请给出一行，或每个视频一行，大小相同。",
    "{name} is distilled ({found}) and does not take a guidance of {guidance}: use 1 to 2, the few steps that it is made for, and the spacing trailing.":
        "{name} 是蒸馏模型（{found}），不能用 {guidance} 的引导强度：请用 1 到 2、它所要求的少量步数，以及 trailing 时间步间隔。",
    "The clip has {own} frames already, more than the {frames} asked for: ask for more.":
        "片段已有 {own} 帧，多于所要的 {frames} 帧：请增加总帧数。",
    "The extension mode {mode} is unknown: choose one of {modes}.": "未知的延长方式 {mode}：请选择以下之一：{modes}。",
    "The window ({window}) and its overlap ({overlap}) take at least 1 frame.":
        "窗口（{window}）和重叠（{overlap}）都必须至少为 1 帧。",
    "A mask {shape} does not fit {frames} frames: give one for all, or one for each frame.":
        "形状为 {shape} 的遮罩不适合 {frames} 帧：请给出一张，或每帧一张。",
    "A mask has values from 0 (protected) to 1 (may change): scale this one.": "遮罩的值应在 0（保持）和 1（可以改变）之间：请缩放这个遮罩。",
    "The prediction type {prediction_type} is not supported: the checkpoint must predict noise (epsilon) or velocity (v_prediction), as SD 1.x, SD 2.x and SDXL do.":
        "不支持预测类型 {prediction_type}：checkpoint 必须像 SD 1.x、SD 2.x 和 SDXL 那样预测噪声（epsilon）或速度（v_prediction）。",
    "alphas_cumprod must be a list of values that fall from at most 1 to 0, not {shown}.":
        "alphas_cumprod 必须是从不大于 1 递减到 0 的一列数值，而不是 {shown}。",
    "A schedule that ends in pure noise (zero terminal SNR) needs a checkpoint that predicts velocity: set the prediction type to v_prediction.":
        "以纯噪声结束的噪声调度（零终端信噪比）需要预测速度的 checkpoint：请把预测类型设为 v_prediction。",
    "The spacing {spacing} is unknown: choose {spacings}.": "未知的时间步间隔 {spacing}：请选择 {spacings}。",
    "The number of steps lies between 1 and {count}, not {steps}.": "步数应在 1 和 {count} 之间，而不是 {steps}。",
    "frames_per_step is 1, but must be 0 (all) or at least 2: frame 0 is one of them.":
        "每步帧数为 1，但必须是 0（全部）或不小于 2：第 0 帧也算一帧。",
    "betas are {betas}, but must be at least 0 and below 1.": "betas 为 {betas}，但必须不小于 0 且小于 1。",
    "After step {step}, {damaged} contains NaN or infinite values: lower the learning rate, or use precision fp32 or bf16.":
        "第 {step} 步之后，{damaged} 含有 NaN 或无穷大：请降低学习率，或使用精度 fp32 或 bf16。",
    "The saved tuning state holds {weights} parameters, this network tunes {parameters} others: resume with the checkpoint and the trainable modules that it was saved with.":
        "保存的微调状态含有 {weights} 个参数，而这个网络微调 {parameters} 个其他参数：请用保存时的 checkpoint 和可训练模块继续。",
    "The saved tuning state does not come from the optimizer {optimizer}: resume with the optimizer that it was saved with, or start anew.":
        "保存的微调状态不是来自优化器 {optimizer}：请用保存时的优化器继续，或重新开始。",
    "The saved tuning state contains NaN or infinite values (in {damaged}): start anew.":
        "保存的微调状态含有 NaN 或无穷大（在 {damaged} 中）：请重新开始。",
    "The saved tuning state is damaged (what it holds for {name} does not fit): start anew.":
        "保存的微调状态已损坏（{name} 的内容不符）：请重新开始。",
    "The loss of step {step} is {loss}: lower the learning rate, or use precision fp32 or bf16.":
        "第 {step} 步的损失为 {loss}：请降低学习率，或使用精度 fp32 或 bf16。",
    "The draws ended after step {step} of {steps}: give noise and timesteps for each.":
        "噪声和时间步在第 {step} 步（共 {steps} 步）之后用完：请为每一步提供。",
    "Noise {noise} and timesteps {timesteps} were drawn for latents {latents}: noise has their shape, and there is one timestep per video.":
        "形状为 {noise} 的噪声和形状为 {timesteps} 的时间步不适合形状为 {latents} 的潜空间：噪声的形状与潜空间相同，每个视频一个时间步。",
    "Timesteps are whole numbers from 0 to {last}, not {timesteps}.": "时间步应为 0 到 {last} 的整数，而不是 {timesteps}。",
    "The device ran out of memory while tuning on {frames} frames with latents of {h}x{w}: use fewer or smaller frames, or switch gradient checkpointing on.":
        "微调 {frames} 帧、{h}x{w} 的潜空间时内存不足：请减少帧数或缩小尺寸，或打开梯度检查点。",
    "The optimizer 'adamw8bit' was asked for, but the package bitsandbytes is not installed: run 'pip install bitsandbytes' or choose 'adamw'.":
        "选择了优化器 'adamw8bit'，但没有安装 bitsandbytes 软件包：请执行 'pip install bitsandbytes'，或选择 'adamw'。",
    "The validation loss is not finite: lower the learning rate, or use precision fp32.":
        "验证损失不是有限的数：请降低学习率，或使用精度 fp32。",
    "amount is {amount}; expected 0 (the inverted latents) to 1 (new noise).":
        "变体强度为 {amount}；应在 0（反演的潜空间）和 1（新噪声）之间。",
    "A word to look for is not in the clip's prompt: name it as the prompt does.": "要寻找的词不在片段的提示词中：请使用提示词中的写法。",
    "{what} contains a character that is not valid Unicode: type it again.": "{what} 含有无效的 Unicode 字符：请重新输入。",
    "Another run is writing to {folder} at the moment: wait for its end, or choose another output folder.":
        "另一次运行正在写入 {folder}：请等它结束，或选择别的输出文件夹。",
    "{name} is not a valid file name: give a plain one such as 'skiing' or 'sports/skiing'.":
        "{name} 不是有效的文件名：请用简单的名称，例如 'skiing' 或 'sports/skiing'。",

    "The attention mode {mode} is unknown: choose one of {modes}.": "未知的注意力方式 {mode}：请选择以下之一：{modes}。",
    "The attention kernel 'xformers' was asked for, but the package xformers is not installed: run 'pip install xformers' or choose the kernel 'sdpa'.":
        "选择了注意力实现 'xformers'，但没有安装 xformers 软件包：请执行 'pip install xformers'，或选择 'sdpa'。",
    "The attention kernel {name} is unknown: choose 'sdpa' or 'xformers'.":
        "未知的注意力实现 {name}：请选择 'sdpa' 或 'xformers'。",
    "Self-attention with a mask or other tokens cannot be inflated: use an SD 1.x, 2.x or SDXL U-Net.":
        "带遮罩或其他 token 的自注意力不能膨胀：请使用 SD 1.x、2.x 或 SDXL 的 U-Net。",
    "The attention of the reconstruction does not fit that of the edit: set structure to 0, or remove patches that cut or merge tokens at random, such as HyperTile.":
        "重建的注意力与修改的注意力不一致：请把结构保持设为 0，或去掉随机裁剪或合并 token 的补丁，例如 HyperTile。",
    "A {unet} is not a Stable Diffusion U-Net: Tune-A-Video works on the SD 1.x, SD 2.x and SDXL family.":
        "{unet} 不是 Stable Diffusion 的 U-Net：Tune-A-Video 只支持 SD 1.x、SD 2.x 和 SDXL 系列。",
    "This {unet} has no transformer blocks with self- and cross-attention to inflate; use an SD 1.x, SD 2.x or SDXL checkpoint.":
        "这个 {unet} 没有可以膨胀的、带自注意力和交叉注意力的 transformer 块；请使用 SD 1.x、SD 2.x 或 SDXL 的 checkpoint。",
    "Unknown trainable modules {names}: choose from {choices}.": "未知的可训练模块 {names}：请从 {choices} 中选择。",
    "The strength of a tuned model lies between 0 and 1, not {strength}.": "运动的强度应在 0 和 1 之间，而不是 {strength}。",
    "The tuned weights belong to a U-Net of {theirs}, this one is of {ours}: use a checkpoint of the family that they were tuned on.":
        "这个运动属于{theirs}的 U-Net，而这个 U-Net 属于{ours}：请使用微调时所用系列的 checkpoint。",
    "The tuned weights do not fit this network: {differences}; use a checkpoint of the architecture they were tuned on, inflated with the same temporal_attention.":
        "这个运动不适合这个网络：{differences}；请使用与微调时结构相同的 checkpoint，并用相同的“时间注意力”设置膨胀。",
    "The window ({window}) and its overlap ({overlap}) are numbers of frames from 0 up.":
        "窗口（{window}）和重叠（{overlap}）是帧数，不能小于 0。",
    "This U-Net is inflated already: deflate it first, or use the VideoUNet that inflated it.":
        "这个 U-Net 已经膨胀过：请先还原，或使用膨胀它的 VideoUNet。",
    "This U-Net is not inflated (any more): inflate it first.": "这个 U-Net 没有（或不再）膨胀：请先膨胀。",
    "Video latents have 5 dimensions [b, c, f, h, w], none of them 0: not {shape}.":
        "视频潜空间有 5 个维度 [b, c, f, h, w]，都不能为 0：而不是 {shape}。",
    "Latents of {given} channels do not fit this U-Net, which takes {channels}: encode the clip with the same checkpoint's VAE, and use no inpainting checkpoint.":
        "{given} 个通道的潜空间不适合这个 U-Net，它需要 {channels} 个通道：请用同一个 checkpoint 的 VAE 编码片段，不要使用局部重绘的 checkpoint。",
    "A context {shape} does not fit {videos} videos in this U-Net: it takes [{rows}, tokens, {dim}], or [1, tokens, {width}] for all; encode the text with the same checkpoint's text encoder.":
        "形状为 {shape} 的文本嵌入不适合这个 U-Net 中的 {videos} 个视频：需要 [{rows}, tokens, {dim}]，或共用的 [1, tokens, {width}]；请用同一个 checkpoint 的文本编码器编码文字。",
    "The latents are on {device}, the context is on {other}: move one of them.":
        "潜空间在 {device} 上，文本嵌入在 {other} 上：请移动其中一个。",
    "Timesteps {shape} do not fit {videos} videos: give one per video, or one.":
        "形状为 {shape} 的时间步不适合 {videos} 个视频：请每个视频给出一个，或只给一个。",

    "Got {rows} rows and {labels} labels: give at least one row, and a label for each.":
        "有 {rows} 行和 {labels} 个标签：请至少给出一行，且每行一个标签。",
    "frames_shown is {frames_shown}, but must be at least 1.": "frames_shown 为 {frames_shown}，但必须不小于 1。",
    "Got {clips} clips and {labels} labels: give at least one clip, and a label for each.":
        "有 {clips} 个视频和 {labels} 个标签：请至少给出一个视频，且每个视频一个标签。",

    "Tensors are written as .safetensors, not as {name}: change the ending.":
        "张量应写为 .safetensors 文件，而不是 {name}：请更改扩展名。",
    "{name} was not written, because {tensor} contains NaN or infinite values: use a lower learning rate, or precision fp32 or bf16.":
        "没有写入 {name}，因为 {tensor} 含有 NaN 或无穷大：请使用更低的学习率，或精度 fp32 或 bf16。",
    "{path} could not be written ({reason}): see that there is space for it.": "无法写入 {path}（{reason}）：请检查磁盘空间。",
    "There is no file {path}: check the name and the folder.": "没有文件 {path}：请检查名称和文件夹。",
    "{name} is a pickle, which could run code when opened and is never loaded: convert it once, where you trust it, with safetensors.torch.save_file(torch.load({quoted}, weights_only=True), {converted}).":
        "{name} 是 pickle 文件，打开时可能执行代码，因此从不加载：请在可信的环境中转换一次：safetensors.torch.save_file(torch.load({quoted}, weights_only=True), {converted})。",
    "{path} is not a safetensors file ({reason}): it may be incomplete; get it again.":
        "{path} 不是 safetensors 文件（{reason}）：文件可能不完整，请重新获取。",
    "The header of {path} is damaged: get the file again.": "{path} 的文件头已损坏：请重新获取文件。",
    "The header of {path} is damaged ({name} is {value}): get the file again.":
        "{path} 的文件头已损坏（{name} 为 {value}）：请重新获取文件。",
    "{path} is the state that a tuning resumes from: give the tuned file that lies beside it.":
        "{path} 是用来继续微调的状态：请给出它旁边的运动文件。",
    "{path} has format version {version}, this program reads up to {newest}: update Tune-A-Video.":
        "{path} 的格式版本是 {version}，本程序最高支持 {newest}：请更新 Tune-A-Video。",
    "{path} holds no tuned video weights: expected a file saved by Save Tuned Video Model or a published Tune-A-Video U-Net.":
        "{path} 不含微调的视频权重：应为“保存视频运动”保存的文件，或官方 Tune-A-Video 的 U-Net。",
    "{path} holds {name} as {dtype}: convert it to float32, float16 or bfloat16, which can be read as tuned weights.":
        "{path} 中的 {name} 是 {dtype}：请转换为可以读取的 float32、float16 或 bfloat16。",
    "{path} contains NaN or infinite values (first in {name}): get the file again, or tune again with a lower learning rate.":
        "{path} 含有 NaN 或无穷大（首先在 {name} 中）：请重新获取文件，或用更低的学习率重新微调。",
    "The folder {path} holds neither tuned.safetensors nor {name}.safetensors: give the folder of a run, or of a published Tune-A-Video U-Net.":
        "文件夹 {path} 中既没有 tuned.safetensors，也没有 {name}.safetensors：请给出一次运行的文件夹，或官方 Tune-A-Video U-Net 的文件夹。",

    "{weights} holds a model of type {kind}, not clip: give one for images and text, as {example}.":
        "{weights} 是 {kind} 类型的模型，不是 clip：请给出同时有图像和文本的模型，例如 {example}。",
    "The CLIP model in {weights} cannot be read ({reason}): get it again.":
        "无法读取 {weights} 中的 CLIP 模型（{reason}）：请重新获取。",
    "The CLIP model in {weights} is incomplete, {missing} is missing: get one for both images and text.":
        "{weights} 中的 CLIP 模型不完整，缺少 {missing}：请获取同时有图像和文本的模型。",
    "There is no model {weights} on this machine: {how}": "这台机器上没有模型 {weights}：{how}",
    "The CLIP model in {folder} lacks {missing}: get the whole model, as safetensors.":
        "{folder} 中的 CLIP 模型缺少 {missing}：请获取完整的 safetensors 模型。",
    "Steadiness compares a frame with its neighbours, but got {frames}: give 3 or more.":
        "稳定度要比较相邻的帧，但只有 {frames} 帧：请给出 3 帧或更多。",
    "Motion needs at least two frames, but a video has only one: give longer videos.":
        "测量运动至少需要两帧，但有一个视频只有一帧：请给出更长的视频。",
    "SSIM looks at windows of {window} pixels, but the frames are {width}x{height}: give larger frames.":
        "SSIM 使用 {window} 像素的窗口，但画面只有 {width}x{height}：请使用更大的画面。",
    "Consistency compares frames with each other, but got embeddings of shape {shape}: give one row per frame, of at least two frames.":
        "一致性要比较各帧，但嵌入的形状是 {shape}：请每帧给出一行，至少两帧。",
    "The videos are compared pixel by pixel, but have shapes {first} and {second}: give two of the same [frames, height, width, channels].":
        "视频要逐像素比较，但形状是 {first} 和 {second}：请给出 [帧数, 高, 宽, 通道] 相同的两个视频。",
    "Motion fidelity is measured with OpenCV, which is not installed: run 'pip install opencv-python-headless' in the Python environment that this runs in.":
        "运动保真度需要 OpenCV，尚未安装：请在运行环境中执行 'pip install opencv-python-headless'。",
    "Nothing could be measured.": "什么都无法测量。",

    "There is no video file {path}: check the name.": "没有视频文件 {path}：请检查名称。",
    "{path} is not a file but a pipe or a device: write the video to a file first.":
        "{path} 不是文件，而是管道或设备：请先把视频写入文件。",
    "{path} is damaged (its header claims millions of frames): get the file again.":
        "{path} 已损坏（文件头声称有数百万帧）：请重新获取文件。",
    "{path} is not a video that can be read ({reason}): give a whole mp4, webm or GIF.":
        "{path} 不是可以读取的视频（{reason}）：请给出完整的 mp4、webm 或 GIF。",
    "{path} only names other files, as a playlist: give the video itself.": "{path} 只是列出其他文件的播放列表：请给出视频本身。",
    "{path} has no video stream that can be decoded: give a video file.": "{path} 中没有可以解码的视频流：请给出视频文件。",
    "Frames of {width}x{height} cannot be resized to {wanted_width}x{wanted_height} by {resize}: use 'pad', or a size of about their aspect ratio.":
        "{width}x{height} 的画面不能用 {resize} 缩放为 {wanted_width}x{wanted_height}：请用 'pad'，或长宽比相近的尺寸。",
    "{name} is {value}, but must be {bound}.": "{name} 为 {value}，但必须{bound}。",
    "{name} is {value}, but must be a positive multiple of 8, at most {largest}.":
        "{name} 为 {value}，但必须是 8 的正倍数，不大于 {largest}。",
    "resize is {resize}, but must be one of {modes}.": "缩放方式为 {resize}，但必须是 {modes} 之一。",
    "{path} has {count}, which gives {available} with start {start} and stride {stride}, but {frames} were requested: request fewer frames, or lower start or stride.":
        "{path} 有 {count}，起始帧 {start}、步长 {stride} 时只有 {available} 帧，而要求的帧数是 {frames}：请减少帧数，或调小起始帧或步长。",
    "{path} breaks off before frame {start} could be read: use a whole file or a lower start.":
        "{path} 在第 {start} 帧之前就中断了：请使用完整的文件，或更小的起始帧。",
    "{frames} of {width}x{height} take {size} GB, more than this machine has: use fewer or smaller frames.":
        "{frames} {width}x{height} 的画面需要 {size} GB 内存，超过这台机器的内存：请减少帧数或缩小尺寸。",
    "{file} is not a picture that can be read ({reason}): replace or remove it.":
        "{file} 不是可以读取的图片（{reason}）：请替换或删除它。",
    "{path} is not a video that can be read (a folder without pictures): give a file.":
        "{path} 不是可以读取的视频（文件夹中没有图片）：请给出文件。",
    "There are no frames {path}: expected files such as {example}.": "没有帧 {path}：应有 {example} 这样的文件。",
    "{name} has more than {most} frames: cut a shorter file.": "{name} 超过 {most} 帧：请剪短文件。",
    "Expected frames as a float tensor [frames, height, width, 3] in 0..1, got {dtype} of shape {shape}.":
        "帧应为 0..1 的浮点张量 [帧数, 高, 宽, 3]，而不是形状为 {shape} 的 {dtype}。",
    "fps is {fps}, but must be between {slowest} and {fastest}.": "帧率为 {fps}，但必须在 {slowest} 和 {fastest} 之间。",
    "Cannot tell the video format from the name {path}: end it in .mp4 or .gif.":
        "无法从名称 {path} 看出视频格式：请以 .mp4 或 .gif 结尾。",
}
