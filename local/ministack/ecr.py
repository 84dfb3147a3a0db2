"""ECR: asking for an image that is not there is an error, as in AWS.

MiniStack answers with an empty list, which the CDK takes for "pushed already": it would deploy names of images that
nobody ever pushed. With this, `cdk deploy` goes through `local.docker_stand_in`, and the image is found afterwards.
"""

from __future__ import annotations

from local.ministack.emulator import Answer, Json, ecr, refuse, replace


def install() -> None:
    def describe_images(request: Json) -> Answer:
        repository = request.get("repositoryName", "")
        for image in request.get("imageIds") or []:
            if repository in ecr._repositories and not ecr._find_image(repository, image):
                message = f"The image with imageId {image} does not exist within the repository '{repository}'"
                return refuse(message, kind="ImageNotFoundException")
        answer: Answer = original(request)
        return answer

    original = replace(ecr, "_describe_images", describe_images)
