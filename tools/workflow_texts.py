"""Texts of the example workflows: the notes in English and Chinese, and titles of nodes and groups in Chinese.

A workflow carries both; web/js/templates.js shows the one of the page's language.
"""

# ruff: noqa: E501, RUF001 (characters of Chinese are two wide, and its punctuation is its own)

_CLIP = "[man-skiing.mp4](https://github.com/showlab/Tune-A-Video/blob/main/data/man-skiing.mp4)"
_PROMPTS = f"The prompts belong to {_CLIP}, the clip of the published example. The **green nodes** are the ones to change."
_PROMPTS_ZH = f"提示词对应论文示例中的视频 {_CLIP}。需要改动的是**绿色节点**。"

NOTES = {
    "start": (
        "## Start here\n\nA tiny Stable Diffusion and a clip come with this pack: no download, no GPU.\n\n"
        "1. Press **Run** (a few minutes on a laptop).\n"
        "2. **One-Shot Tune** learns the motion.\n"
        "3. **Compare Videos** plays the clip, the edit, and the same prompt without tuning.\n\n"
        "Then change the **green prompt** and press Run again: only the rendering is repeated.\n\n"
        "*a FIGURE (, wearing a COLOUR shirt,) is VERB in the park (, STYLE style)*: Demo Clip lists the words",
        "## 从这里开始\n\n本插件自带一个小型 Stable Diffusion 和一段视频：无需下载，无需显卡。\n\n"
        "1. 点击**运行**（笔记本电脑上需几分钟）。\n"
        "2. **单视频微调**学习视频中的运动。\n"
        "3. **对比视频**同步播放原视频、编辑结果，以及同一提示词未经微调的结果。\n\n"
        "然后修改**绿色的提示词**再运行：只重新渲染，不再微调。\n\n"
        "格式：*a FIGURE (, wearing a COLOUR shirt,) is VERB in the park (, STYLE style)*，可用的词见演示片段节点",
    ),
    "app": (
        "## The same as an app\n\nThis opens in ComfyUI's **app mode**: a prompt, a Run button and the result. *Graph* "
        "in the menu at the top left shows what is behind it.",
        "## 应用模式\n\n此工作流以 ComfyUI 的**应用模式**打开：提示词、运行按钮和结果。左上角菜单中的*图*显示其背后的节点。",
    ),
    "four edits": (
        "## Four edits from one tuning\n\nThe clip is tuned **once** and inverted **once**; every prompt starts from "
        "the same noise, so an edit costs only its sampling.\n\nPress **Run**, then change one of the green prompts: "
        "only that video is rendered again.\n\nFor a checkpoint of yours, put its loader and a *Load Video* in place "
        "of the two nodes below.",
        "## 一次微调，四种编辑\n\n视频只微调**一次**、反演**一次**；每个提示词都从同一噪声出发，一次编辑只需采样的时间。\n\n"
        "点击**运行**，然后修改其中一个绿色提示词：只有那个视频会重新渲染。\n\n"
        "要用自己的模型，把下面两个节点换成模型加载器和*加载视频*。",
    ),
    "own clip": (
        "## Edit your own clip\n\n1. **Model**: any Stable Diffusion 1.5 checkpoint.\n2. **Clip**: drop one on Load "
        "Video; 8 to 24 frames of one clear movement.\n3. **Prompts**: what the clip shows, and what to render "
        f"instead.\n4. **Run**. Try 8 frames, 256 x 256 and 20 tuning steps first.\n\n{_PROMPTS}",
        "## 编辑自己的视频\n\n1. **模型**：任意 Stable Diffusion 1.5 模型。\n2. **视频**：拖到加载视频节点上；"
        "8 到 24 帧，一个清晰的动作。\n3. **提示词**：视频里是什么，以及要改成什么。\n4. **运行**。"
        f"先试 8 帧、256 x 256、20 步微调。\n\n{_PROMPTS_ZH}",
    ),
    "which prompts": (
        "The clip's sentence with **one** change; keep the verb:\n\n- subject: *spider man is skiing*\n- place: *a man "
        "is skiing on the beach*\n- look: *a man, wearing pink clothes, is skiing*\n- style: *a man is skiing, cartoon "
        "style*",
        "在描述视频的句子里只改**一处**，保留动词：\n\n- 主体：*spider man is skiing*\n- 地点：*a man is skiing on the "
        "beach*\n- 外观：*a man, wearing pink clothes, is skiing*\n- 风格：*a man is skiing, cartoon style*",
    ),
    "poor": (
        "- motion lost: more tuning steps\n- prompt ignored: more guidance, or fewer tuning steps\n- harsh colours: "
        "guidance 7 to 10\n- out of memory: fewer or smaller frames",
        "- 运动丢失：增加微调步数\n- 提示词不起作用：提高引导强度，或减少微调步数\n- 颜色过浓：引导强度 7 到 10\n"
        "- 显存不足：减少帧数或缩小画面",
    ),
    "reuse": (
        "## Reuse a saved motion\n\nA motion saved by template 4, on another checkpoint and with a LoRA, without tuning "
        "again.\n\n1. **Model**: a checkpoint of the same family.\n2. **Clip**: the same clip, frames and size as when "
        "it was tuned.\n3. **Saved motion**: the node shows what it was tuned with; **R** refreshes the list.\n"
        "4. **LoRA**: any for that family; **Ctrl B** bypasses it.\n\nThe **green nodes** are the ones to change.",
        "## 复用保存的运动\n\n把模板 4 保存的运动用到另一个模型和 LoRA 上，无需再次微调。\n\n1. **模型**：同一系列的模型。\n"
        "2. **视频**：与微调时相同的视频、帧数和尺寸。\n3. **保存的运动**：节点显示其微调信息；按 **R** 刷新列表。\n"
        "4. **LoRA**：该系列的任意一个；**Ctrl B** 可绕过。\n\n需要改动的是**绿色节点**。",
    ),
    "lora": (
        "*full body, chibi* are the words that this LoRA asks for.\n\nOn a checkpoint far from the one it was tuned on, "
        "try a **strength** of 0.7 to 1.",
        "*full body, chibi* 是此 LoRA 的触发词。\n\n如果模型与微调时的差别较大，试试 0.7 到 1 的**强度**。",
    ),
    "long clip": (
        "## A long clip, made longer\n\n1. **Load Video**: *frames* 0 takes all.\n2. **Inflate UNet**: *window* 16 and "
        "*overlap* 15 (advanced) compute 16 frames at a time, so a clip of any length takes the memory of 16.\n"
        "3. **Extend Video Latent**: *frames* is the length of the result. `mirror` goes on with the clip's noise "
        f"played back and forth.\n\n{_PROMPTS}",
        "## 长视频，再延长\n\n1. **加载视频**：*frames* 为 0 表示取所有帧。\n2. **膨胀 UNet**：*window* 16、*overlap* 15"
        "（高级设置），每次计算 16 帧，任意长度的视频只占 16 帧的显存。\n3. **延长视频潜空间**：*frames* 是结果的总帧数。"
        f"`mirror` 把视频的噪声来回播放以延续下去。\n\n{_PROMPTS_ZH}",
    ),
    "poor long clip": (
        "- out of memory: a window of 8, overlap 7\n- quicker, less faithful: bypass One-Shot Tune (**Ctrl B**), "
        "attention *first_frame*\n- the motion should not turn back: mode `loop`",
        "- 显存不足：window 8，overlap 7\n- 更快但不够忠实：绕过单视频微调（**Ctrl B**），attention 选 *first_frame*\n"
        "- 不想让运动倒放：mode 选 `loop`",
    ),
    "controlnet": (
        "## With ControlNet\n\nThe tuned motion and the clip's edges together: ControlNet holds every frame to the "
        "outlines of that frame. Depth and pose go in the same place.\n\nA ControlNet for SD 1.5 belongs in "
        f"`models/controlnet`.\n\n{_PROMPTS}",
        "## 配合 ControlNet\n\n学到的运动加上视频的边缘：ControlNet 让每一帧贴合该帧的轮廓。深度和姿态也接在同一处。\n\n"
        f"SD 1.5 的 ControlNet 放在 `models/controlnet`。\n\n{_PROMPTS_ZH}",
    ),
    "how firmly": (
        "**strength** 0.5 to 0.8 and an **end_percent** below 1 leave the new subject room for its own shape.",
        "**strength** 0.5 到 0.8、**end_percent** 小于 1，给新主体留出自己的形状。",
    ),
    "ablation": (
        "## What each part does\n\nThe same clip, prompt, seed and noise steps, rendered six ways, compared and scored. "
        f"This tunes **four times**: take few frames and steps at first.\n\n{_PROMPTS}",
        "## 各部分的作用\n\n同一视频、提示词、种子和步数，用六种方式渲染，并排比较并评分。"
        f"这里要微调**四次**：先用少量帧和步数。\n\n{_PROMPTS_ZH}",
    ),
    "keep background": (
        "## Change the subject, keep the background\n\n1. **Video Mask from Prompt** finds what words of the clip's "
        "caption name, in every frame.\n2. **DDIM Invert** keeps the clip as it is at every step (*keep_trajectory*), "
        "and inverts more exactly (*refine*).\n3. **Sample Video** returns to that outside of the mask.\n\nWith a clip "
        "of yours: name its subject in the green node, and try **grow** and **structure**.",
        "## 换主体，留背景\n\n1. **由提示词生成视频遮罩**在每一帧中找到描述里的词所指的东西。\n2. **DDIM 反演**保留视频在每一步的状态"
        "（*keep_trajectory*），并反演得更精确（*refine*）。\n3. **采样视频**在遮罩之外回到原视频。\n\n"
        "用自己的视频时：在绿色节点里写出主体，并试试 **grow** 和 **structure**。",
    ),
    "keep subject": (
        "## Change the background, keep the subject\n\nThe mask of the subject, inverted: everything but the subject may "
        "change.\n\n1. **Video Mask from Prompt** finds the subject in every frame.\n2. **Invert Mask** turns that "
        "around.\n3. **Sample Video** returns to the clip where the subject is.\n\nWith a clip of yours: name its "
        "subject in the green node, and try **grow** and **structure**.",
        "## 换背景，留主体\n\n把主体的遮罩反转：除主体之外都可以改变。\n\n1. **由提示词生成视频遮罩**在每一帧中找到主体。\n"
        "2. **反转遮罩**。\n3. **采样视频**在主体所在处回到原视频。\n\n"
        "用自己的视频时：在绿色节点里写出主体，并试试 **grow** 和 **structure**。",
    ),
}
"""Note -> its text in English and in Chinese."""

TITLES = {
    "How it works": "说明",
    "Which prompts": "写什么提示词",
    "If the result is poor": "结果不好时",
    "LoRA and strength": "LoRA 与强度",
    "How firmly": "约束多强",
    "What the clip shows": "视频内容",
    "What to render instead": "改成什么",
    "What to render": "渲染什么",
    "Empty prompt": "空提示词",
    "Another figure": "换角色",
    "another figure": "换角色",
    "Another place": "换地点",
    "another place": "换地点",
    "A red shirt": "红衬衫",
    "a red shirt": "红衬衫",
    "Another style": "换风格",
    "another style": "换风格",
    "Invert": "反演",
    "Sample": "采样",
    "Decode": "解码",
    "tune": "微调",
    "tuned": "已微调",
    "not tuned": "未微调",
    "no mask": "无遮罩",
    "each frame alone": "逐帧独立",
    "each frame alone, tuned": "逐帧独立，已微调",
    "sparse-causal, untuned": "稀疏因果，未微调",
    "full method": "完整方法",
    "factorised, tuned": "分解式，已微调",
    "first frame, tuned": "首帧，已微调",
    "Model and clip": "模型与视频",
    "Prompts": "提示词",
    "Prompts and edges": "提示词与边缘",
    "Prompt and render": "提示词与渲染",
    "Saved motion and LoRA": "保存的运动与 LoRA",
    "Learn the motion": "学习运动",
    "What may change": "哪里可变",
    "Six networks": "六种网络",
    "Tune and render": "微调与渲染",
    "Render": "渲染",
    "Compare": "比较",
    "Score": "评分",
}
"""Part of a title -> in Chinese; groups without their numbers."""
