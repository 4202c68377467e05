// What the nodes say in Chinese, by the English sentence with values in braces: nodes/.

export const NODES = {
    "Demo Clip has other inputs than when this workflow was saved: it now draws figures. Choose figure, verb, place, clothes and style again, and use the captions it gives.":
        "“演示片段”的输入与保存这个工作流时不同：现在它画人物。请重新选择人物、动作、地点、衣服和画风，并使用它给出的描述。",
    "There is nothing to score: connect a video to result_1.": "没有要打分的视频：请把视频连接到“结果_1”。",
    "The weights of this MODEL are scaled fp8, which can be tuned in a newer ComfyUI only: update it, or load the checkpoint in 16 bit.":
        "这个 MODEL 的权重是 scaled fp8，只有更新的 ComfyUI 才能微调：请更新 ComfyUI，或以 16 位加载 checkpoint。",
    "The weights of this MODEL are quantized, and can neither be tuned nor take a tuned motion: load the checkpoint itself, or a GGUF file of F16.":
        "这个 MODEL 的权重是量化的，不能微调，也不能使用保存的运动：请加载 checkpoint 本身，或 F16 的 GGUF 文件。",
    "This MODEL samples with a few of its timesteps (LCM), but tuning needs all of them: put the node that changes the sampling after One-Shot Tune.":
        "这个 MODEL 只用少数时间步采样（LCM），而微调需要全部时间步：请把改变采样的节点放在“单视频微调”之后。",
    "This MODEL carries modules of another pack (AnimateDiff), which cannot be tuned with: put the node that adds them after One-Shot Tune.":
        "这个 MODEL 带有其他节点包（AnimateDiff）的模块，不能一起微调：请把加入它们的节点放在“单视频微调”之后。",
    "These latents have the shape {shape}, this MODEL needs [frames, {channels}, height, width]: encode the frames with VAE Encode and the same checkpoint's VAE.":
        "这些潜空间的形状是 {shape}，而这个 MODEL 需要 [帧数, {channels}, 高, 宽]：请用“VAE 编码”和同一个 checkpoint 的 VAE 编码各帧。",
    "One-Shot Tune learns, and previews, with one prompt for the whole picture and all steps: connect CLIP Text Encode, without combined prompts, areas, masks, timestep ranges, ControlNet or hooks.":
        "“单视频微调”的学习和预览只用一个提示词，针对整个画面和所有步：请连接“CLIP 文本编码”，不要使用条件合并、区域、遮罩、时间步范围、ControlNet 或 hook。",
    "This MODEL does not sample as Stable Diffusion does: use a checkpoint of the SD 1.x, SD 2.x or SDXL family, and put nodes that change its sampling after this one.":
        "这个 MODEL 的采样方式与 Stable Diffusion 不同：请使用 SD 1.x、SD 2.x 或 SDXL 系列的 checkpoint，并把改变采样的节点放在这个节点之后。",
    "The trajectory takes {megabytes} MB of main memory.": "轨迹占用 {megabytes} MB 内存。",
    "This latent is empty: connect the latent of DDIM Invert, or use KSampler to start from random noise.":
        "这个潜空间是空的：请连接“DDIM 反演”的潜空间；要从随机噪声开始，请用 KSampler。",
    "This latent is a clip, not its noise: put DDIM Invert between VAE Encode and Sample Video, or use KSampler.":
        "这个潜空间是片段本身，不是它的噪声：请在“VAE 编码”和“采样视频”之间加入“DDIM 反演”，或改用 KSampler。",
    "The clip was inverted in {steps} steps and is sampled in {sampled}: use the same number in DDIM Invert and Sample Video, which keeps its motion best.":
        "片段用 {steps} 步反演，却用 {sampled} 步采样：请在“DDIM 反演”和“采样视频”中使用相同的步数，这样运动保持得最好。",
    "The clip was inverted with another spacing of the timesteps: use the same one in both nodes.":
        "片段反演时用的是另一种时间步间隔：请在两个节点中使用同一种。",
    "A mask needs the clip at every step: switch keep_trajectory on in DDIM Invert, or remove the mask.":
        "遮罩需要片段在每一步的样子：请在“DDIM 反演”中打开“保留轨迹”，或去掉遮罩。",
    "structure needs all frames at once: set it to 0, or remove the context windows.":
        "“结构保持”需要同时计算所有帧：请设为 0，或去掉上下文窗口。",
    "The demo model is incomplete ({missing} missing in {folder}): install this pack again.":
        "演示模型不完整（{folder} 中缺少 {missing}）：请重新安装本节点包。",
    "These latents have the shape {shape}, but must be [frames, channels, height, width]: connect the latent of DDIM Invert.":
        "这些潜空间的形状是 {shape}，但必须是 [帧数, 通道, 高, 宽]：请连接“DDIM 反演”的潜空间。",
    "There is no tuned file {name} in models/tune_a_video: choose another.":
        "models/tune_a_video 中没有运动文件 {name}：请另选一个。",
    "Nothing can be saved as {name} ({reason}): give another name, or make {folder} writable.":
        "无法以 {name} 为名保存（{reason}）：请换一个名称，或让 {folder} 可以写入。",
    "This MODEL is not inflated: put Inflate UNet between the checkpoint and this node.":
        "这个 MODEL 没有膨胀：请在 checkpoint 和这个节点之间加入“膨胀 UNet”。",
    "This MODEL is inflated already: connect the checkpoint's MODEL, or leave this node out.":
        "这个 MODEL 已经膨胀过：请连接 checkpoint 的 MODEL，或去掉这个节点。",
    "The U-Net of this MODEL {takes}: it is one for inpainting, depth, editing, video or variations; use an ordinary text-to-image checkpoint of the SD 1.x, SD 2.x or SDXL family.":
        "这个 MODEL 的 U-Net {takes}：它用于局部重绘、深度、编辑、视频或变体；请使用 SD 1.x、SD 2.x 或 SDXL 系列的普通文生图 checkpoint。",
    "This MODEL is tuned already: connect the checkpoint's MODEL or that of Inflate UNet.":
        "这个 MODEL 已经微调过：请连接 checkpoint 的 MODEL，或“膨胀 UNet”的 MODEL。",
    "This motion was tuned on another checkpoint: expect a weaker result.": "这个运动是在另一个 checkpoint 上微调的：效果会差一些。",
    "This MODEL's loader keeps its weights in dynamic memory, where they cannot be tuned: load the checkpoint with Load Checkpoint, or start ComfyUI with --disable-dynamic-vram.":
        "这个 MODEL 的加载器把权重放在动态内存中，在那里不能微调：请用“加载 Checkpoint”加载，或以 --disable-dynamic-vram 启动 ComfyUI。",
    "The VAE for the previews decodes latents of {channels} channels, this MODEL makes {made}: connect the same checkpoint's VAE.":
        "预览用的 VAE 解码 {channels} 个通道的潜空间，而这个 MODEL 产生 {made} 个通道：请连接同一个 checkpoint 的 VAE。",
    "{name} is {value}, but must be a whole number.": "{name} 为 {value}，但必须是整数。",
    "There is no tuned file {name}: press R to read the list again.": "没有运动文件 {name}：请按 R 重新读取列表。",
    "There is no such CLIP model: press R to read the list again.": "没有这个 CLIP 模型：请按 R 重新读取列表。",
    "This tuning is not known any more.": "这次微调已不再记录。",
    "Name the run to stop: {\"run\": its id}.": "请指明要停止的运行：{\"run\": 它的 id}。",
    "No such tuning is running: it has ended already.": "没有这样的微调在运行：它已经结束。",
    "For {measured}, put config.json, model.safetensors, vocab.json and merges.txt of huggingface.co/{name} into models/{folder}/{model}.":
        "要测{measured}，请把 huggingface.co/{name} 的 config.json、model.safetensors、vocab.json 和 merges.txt 放入 models/{folder}/{model}。",
    "Starts over: its last tuning is not in memory any more.": "重新开始：上一次微调已不在内存中。",
    "Starts over: the last tuning went on to step {step}.": "重新开始：上一次微调已进行到第 {step} 步。",
    "Starts over, because of another {changed}.": "重新开始，因为这些输入变了：{changed}。",
    "No video is chosen: upload one, or drop one on the node.": "没有选择视频：请上传一个，或把视频拖到节点上。",
    "There is no video {video} in the input folder: upload it or choose another.":
        "input 文件夹中没有视频 {video}：请上传它，或另选一个。",
    "{name}: {reason}; check its permissions.": "{name}：{reason}；请检查它的权限。",
    "No words were given: name what the mask should cover, with words of the clip's prompt.":
        "没有写要寻找的词：请用片段提示词中的词写出遮罩应覆盖什么。",
    "{video} breaks off: {read} of {requested} frames could be read.": "{video} 不完整：{requested} 帧中只能读取 {read} 帧。",
    "The prompts cannot be encoded: connect the checkpoint's CLIP to clip, or clear prompts.":
        "无法编码这些提示词：请把 checkpoint 的 CLIP 连接到 CLIP 输入，或清空“多个提示词”。",
}
